// What the tests of both clients (clients/js, clients/cpp) have in common: backends and sessions that end with their tests, and claims that are
// the same for both.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CallFailed, startBackend } from './backend.mjs';

/** What a file of tests opens, and what ends it when they are over: sessions, then backends. */
export function openedFor(makeSession, endSession) {
  const opened = [];
  after(async () => {
    for (const close of opened) await close();
  });
  return {
    async backendOf(kind, options) {
      const backend = await startBackend(kind, options);
      opened.push(backend.stop);
      return backend;
    },
    sessionOf(backend, options = {}, ...more) {
      const session = makeSession(backend, options, ...more);
      opened.unshift(() => endSession(session));
      return session;
    },
  };
}

export function subscriptionsAreAskedForAgain(backendOf, sessionOf) {
  test('a subscription is asked for again while realtime is away: a new one three times, one that was there as long as it takes', async () => {
    const backend = await backendOf('tcp');
    const { channels } = backend;
    const session = sessionOf(backend);
    await session.connect();
    const subscribe = channels.subscribe.bind(channels);
    let refused = 0;
    const refuse = (times) => {
      refused = 0;
      channels.subscribe = (...all) => {
        if (refused === times) return subscribe(...all);
        refused += 1;
        throw new CallFailed(9, 503, 'unavailable', 'no realtime node is up');
      };
    };
    refuse(Infinity);
    await assert.rejects(session.subscribe('news').ready, { code: 'unavailable', status: 503 });
    assert.equal(refused, 3);
    refuse(2);
    const subscription = session.subscribe('news');
    await subscription.ready;
    channels.publish('news', '1');
    assert.equal((await subscription.next()).value.data, 1);
    refuse(5);
    backend.sessions.clear();
    backend.cut();
    channels.publish('news', '2');
    assert.equal((await subscription.next()).value.data, 2);
    assert.equal(refused, 5);
  });
}

export function subscriptionsFail(backendOf, sessionOf) {
  test('the end of a subscription is asked for again while the gateway has no time for it', async () => {
    let refused = 0;
    const backend = await backendOf('tcp', {
      onConnection(connection) {
        const answer = connection.onSubscribe.bind(connection);
        connection.onSubscribe = (subscribe) => {
          if (subscribe.on || ++refused > 2) return answer(subscribe);
          return connection.sendError(subscribe.call_id, new CallFailed(7, 429, 'rate_limited', 'slowly', 5));
        };
      },
    });
    const session = sessionOf(backend);
    const subscription = session.subscribe('news');
    await subscription.ready;
    await subscription.close();
    assert.equal(backend.channels.log('news').subscribers.size, 0);
    assert.equal(refused, 3);
  });

  test('a new subscription from a position is tried three times, as every new one', async () => {
    const backend = await backendOf('tcp');
    let asked = 0;
    backend.channels.subscribe = () => {
      asked += 1;
      throw new CallFailed(9, 503, 'unavailable', 'no realtime node is up');
    };
    await assert.rejects(sessionOf(backend).subscribe('news', { from: Buffer.alloc(8) }).ready, { code: 'unavailable' });
    assert.equal(asked, 3);
  });
}
