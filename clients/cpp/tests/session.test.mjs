// The C++ client against the protocol's second implementation, over WebSockets and TCP: the same claims as those of the JavaScript client
// (clients/js/tests/session.test.mjs), and what only this one has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallFailed, eventually, json, serverKeys, startBackend } from '../../js/tests/backend.mjs';
import { openedFor, subscriptionsAreAskedForAgain } from '../../js/tests/claims.mjs';
import { Session } from './driver.mjs';

const { backendOf, sessionOf } = openedFor(
  (backend, options) => new Session({ url: backend.url, apiKey: 'test-key', serverKeys, timeoutMs: 30_000, ...options }),
  (session) => session.quit());

subscriptionsAreAskedForAgain(backendOf, sessionOf);

const sessionId = async (session) => (await session.status()).sessionId;
const tries = (backend, name) => backend.calls.filter((call) => call.name === name).length;

for (const kind of ['ws', 'tcp']) {
  for (const cipher of ['chacha20-poly1305', 'aes-256-gcm']) {
    test(`${kind}, ${cipher}: calls, a change of keys, events, a dropped connection that resumes, a clean end`, async () => {
      const backend = await backendOf(kind);
      const session = sessionOf(backend, { cipher, timeoutMs: 60_000 });
      assert.deepEqual(await session.call('raystream.echo', { n: 1 }), { n: 1 });
      const before = await session.status();
      assert.equal(before.cipher, cipher);
      const subscription = session.subscribe('news');
      await subscription.ready;
      for (let at = 0; at < 16_500; at += 500) await Promise.all(Array.from({ length: 500 }, (_, i) => session.call('raystream.echo', i).then((answer) => assert.equal(answer, i))));
      assert.deepEqual([backend.last().in.epoch, backend.last().out.epoch], [1n, 1n]);

      backend.channels.publish('news', JSON.stringify({ n: 1 }));
      assert.deepEqual((await subscription.next()).value.data, { n: 1 });
      backend.cut();
      backend.channels.publish('news', JSON.stringify({ n: 2 }));
      const { value } = await subscription.next();
      assert.deepEqual([value.data, value.type], [{ n: 2 }, 'message']);
      assert.equal(await sessionId(session), before.sessionId);
      assert.equal(backend.connections.length, 2);
      assert.equal(await session.call('raystream.echo', 'again'), 'again');
      await session.close();
      assert.equal((await subscription.next()).done, true);
      assert.deepEqual(await backend.last().ended, { code: 0, reason: '', by: 'peer' });
      assert.equal(backend.sessions.size, 0);
      await assert.rejects(session.call('raystream.echo'), { code: 'closed' });
    });
  }

  test(`${kind}: arguments and results of several MiB, with progress, beside small calls`, async () => {
    const backend = await backendOf(kind);
    const session = sessionOf(backend, { timeoutMs: 60_000 });
    const bytes = Uint8Array.from({ length: 5 * 1048576 + 3 }, (_, i) => i * 7);
    const sent = [];
    const received = [];
    const large = session.call('raystream.echo', bytes, { onUpload: (n) => sent.push(n), onDownload: (n) => received.push(n) });
    assert.equal(await session.call('raystream.echo', 5), 5);
    assert.ok((await large).equals(bytes));
    for (const steps of [sent, received]) {
      assert.ok(steps.length > 3);
      assert.deepEqual([...steps].sort((a, b) => a - b), steps);
      assert.equal(steps.at(-1), bytes.length);
    }
    const most = new Uint8Array(16 * 1048576);
    assert.equal((await session.call('raystream.echo', most)).length, most.length);
    await assert.rejects(session.call('raystream.echo', new Uint8Array(16 * 1048576 + 1)), { status: 413, code: 'body_too_large', retryable: false });
    assert.equal((await session.call('raystream.echo', new Uint8Array(0))).length, 0);
  });
}

test('a server with another key is not trusted, at once and without a word', async () => {
  const backend = await backendOf('tcp');
  const pins = [[{ id: 'test', publicKey: new Uint8Array(32).fill(9) }], [{ ...serverKeys[0], id: 'other' }]];
  for (const keys of pins) {
    await assert.rejects(sessionOf(backend, { serverKeys: keys }).call('raystream.echo'), { code: 'server_not_trusted', status: 0, errorCode: 'UNAUTHORIZED', retryable: false });
    assert.equal((await backend.last().ended).by, 'drop');
  }
  assert.equal(backend.connections.length, 2);
});

test('options that cannot work say so; keys are read from nowhere unsafe', async () => {
  const url = 'tcp://127.0.0.1:4100';
  for (const [options, message] of [[{ url: 'ftp://x' }, /begins with/], [{ url: 'tcp://' }, /host is missing/], [{ url: 'tcp://h:99999' }, /port/], [{ url: 'tcp://h/path' }, /path/],
    [{ url, serverKeys: [{ id: 'k', publicKey: 'AAAA' }] }, /"k" is not 32 bytes/], [{ url, cipher: 'rot13' }, /rot13/]])
    await assert.rejects(sessionOf({ url }, options).made, (error) => error.code === 'invalid_option' && message.test(error.message));
  for (const unsafe of [url, 'ws://192.0.2.1:4000', 'http://api.example.com'])
    await assert.rejects(sessionOf({ url: unsafe }, { serverKeys: [] }).call('info'), { code: 'server_keys_needed', retryable: false });
});

test('a RESPONSE that was changed is not trusted', async () => {
  const flip = (at) => (response) => {
    const changed = Buffer.from(response);
    changed[at < 0 ? changed.length + at : at] ^= 1;
    return changed;
  };
  const cases = [{ breakResponse: flip(-1) }, { breakResponse: flip(-20) }, { hello: { version: 2 } }, { hello: { selected_cipher: 'rot13' } },
    { hello: { session_id: 'x' } }, { hello: { resumed: true } }, { hello: { server_pub: Buffer.alloc(32) } }];
  for (const fixed of cases) {
    const backend = await backendOf('tcp', { fixed });
    await assert.rejects(sessionOf(backend).call('raystream.echo'), { code: 'server_not_trusted' }, JSON.stringify(fixed));
    assert.equal((await backend.last().ended).by, 'drop');
  }
});

for (const kind of ['tcp', 'ws'])
  test(`${kind}: frames that were changed end the connection with the code of the page, and the session goes on over another`, async () => {
    const cases = [
      [(f) => f.fill(2, 0, 1), 4], [(f) => f.fill(1, 3, 4), 4], [(f) => f.fill(9, 7, 8), 14], [(f) => f.fill(1, 15, 16), 4],
      [(f) => f.fill(7, 27, 28), 14], [(f) => f.fill(f[28] ^ 1, 28, 29), 13], [(f) => f.fill(f.at(-1) ^ 1, f.length - 1), 13],
    ];
    for (const [change, code] of cases) {
      const backend = await backendOf(kind, {
        onConnection(connection, count) {
          if (count > 1) return;
          const { write } = connection.transport;
          connection.transport.write = (bytes) => write(bytes[1] === 0x11 && bytes.readUInt32BE(4) === 2 ? change(Buffer.from(bytes)) : bytes);
        },
      });
      const session = sessionOf(backend);
      await session.connect();
      const id = await sessionId(session);
      assert.equal(await session.call('raystream.echo', 5), 5);
      assert.equal((await backend.connections[0].ended).code, code);
      assert.equal(await sessionId(session), id);
      assert.equal(backend.connections.length, 2);
    }
  });

test('a wrong API key fails clearly, and is not tried again', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend, { apiKey: 'wrong' });
  await assert.rejects(session.call('raystream.echo'), { status: 401, code: 'invalid_api_key', errorCode: 'UNAUTHORIZED', retryable: false });
  assert.equal(backend.connections.length, 1);
});

test('a write whose connection breaks is OUTCOME_UNKNOWN; with an idempotency key, and reads, are repeated', async () => {
  const backend = await backendOf('tcp', {
    methods: {
      'db.insert': async () => new Promise(() => backend.cut()),
      'db.update': json((_, { metadata }) => {
        if (tries(backend, 'db.update') < 3) backend.cut();
        return { key: metadata['idempotency-key'] };
      }),
      'db.find': json(() => {
        if (tries(backend, 'db.find') < 2) backend.cut();
        return { data: [] };
      }),
    },
  });
  const session = sessionOf(backend);
  await assert.rejects(session.call('db.insert', {}), { code: 'outcome_unknown', errorCode: 'OUTCOME_UNKNOWN', status: 503, retryable: false });
  assert.deepEqual(await session.call('db.update', {}, { idempotencyKey: 'k1' }), { key: 'k1' });
  assert.deepEqual(await session.call('db.find', {}), { data: [] });
  assert.deepEqual([tries(backend, 'db.insert'), tries(backend, 'db.update'), tries(backend, 'db.find')], [1, 3, 2]);
});

test('errors of calls: codes, three tries, none for 4xx, RATE_LIMITED after its time, TIMEOUT once more', async () => {
  const fails = { unavailable: [9, 503, 'unavailable'], refused: [4, 400, 'invalid_request'], slow: [10, 504, 'deadline_exceeded'], gone: [12, 401, 'session_expired'] };
  const backend = await backendOf('tcp', {
    methods: {
      ...Object.fromEntries(Object.entries(fails).map(([name, [code, status, text]]) => [name, async () => { throw new CallFailed(code, status, text, `it is ${name}`); }])),
      limited: json(() => {
        if (tries(backend, 'limited') === 1) throw new CallFailed(7, 429, 'rate_limited', 'slowly', 40);
        return 'done';
      }),
      anew: json(() => {
        if (tries(backend, 'anew') === 1) throw new CallFailed(12, 0, 'session_expired', 'over');
        return 'done';
      }),
    },
  });
  const session = sessionOf(backend);
  const idempotent = { idempotent: true };
  await assert.rejects(session.call('unavailable', {}, idempotent), { code: 'unavailable', status: 503, errorCode: 'SERVICE_UNAVAILABLE', message: 'it is unavailable', retryable: true });
  await assert.rejects(session.call('refused', {}, idempotent), { code: 'invalid_request', status: 400, errorCode: 'INVALID_REQUEST', retryable: false });
  await assert.rejects(session.call('slow', {}, idempotent), { code: 'deadline_exceeded', status: 504, errorCode: 'TIMEOUT' });
  assert.deepEqual(['unavailable', 'refused', 'slow'].map((name) => tries(backend, name)), [3, 1, 2]);
  const before = Date.now();
  assert.equal(await session.call('limited', {}, idempotent), 'done');
  assert.ok(Date.now() - before >= 39);
  await assert.rejects(session.call('unavailable'), { code: 'unavailable' });
  assert.equal(tries(backend, 'unavailable'), 4);
  await assert.rejects(session.call('nothing'), { status: 404, errorCode: 'NOT_FOUND' });
  // After SESSION_EXPIRED hands are shaken anew.
  const id = await sessionId(session);
  assert.equal(await session.call('anew', {}, idempotent), 'done');
  assert.notEqual(await sessionId(session), id);
});

test('timeouts and cancellation end a call here; its late answer is nobody else\'s', async () => {
  let answer;
  const backend = await backendOf('tcp', { methods: { wait: () => new Promise((resolve) => (answer = () => resolve(Buffer.from('"late"')))) } });
  const session = sessionOf(backend);
  await session.connect();
  await assert.rejects(session.call('wait', {}, { timeout: 300 }), { status: 408, code: 'timeout', errorCode: 'TIMEOUT' });
  const sent = Number(backend.calls.at(-1).metadata['timeout-ms']);
  assert.ok(sent >= 1 && sent <= 300);
  answer();
  const stop = new AbortController();
  const call = session.call('wait', {}, { signal: stop.signal });
  await eventually(() => tries(backend, 'wait') === 2, 'the call arrives');
  stop.abort();
  await assert.rejects(call, { code: 'cancelled' });
  answer();
  assert.equal(await session.call('raystream.echo', 'next'), 'next');
});

test('a large call that is given up on the way is never carried out, and does not stay open', async () => {
  let written = 0;
  const backend = await backendOf('tcp', {
    methods: { write: json(() => ++written) },
    // Nothing is read behind the first part, so that the call cannot have been sent wholly.
    onConnection: (connection) => {
      const add = connection.calls.add.bind(connection.calls);
      connection.calls.add = (part) => {
        if (part.method === 'write') connection.socket.pause();
        return add(part);
      };
    },
  });
  const session = sessionOf(backend, { timeoutMs: 60_000 });
  await session.connect();
  const stop = new AbortController();
  const call = session.call('write', 'x'.repeat(12 * 1048576), { signal: stop.signal, onUpload: () => stop.abort() });
  await assert.rejects(call, { code: 'cancelled' });
  await eventually(() => backend.last().socket.isPaused(), 'the first part arrives');
  backend.last().socket.resume();
  await eventually(() => tries(backend, 'write') === 1, 'the call ends on the server');
  assert.equal(await session.call('raystream.echo', 'next'), 'next');
  assert.equal(written, 0);
  assert.equal(backend.last().calls.open.size, 0);
});

test('without a gateway a call says why when its time is over', async () => {
  const gone = await startBackend('tcp');
  await gone.stop();
  const session = sessionOf(gone);
  await assert.rejects(session.call('raystream.echo', 1, { timeout: 500 }), (error) => error.code === 'network_error' && error.status === 0 && /refused/.test(error.message));
  await session.close();
  await assert.rejects(session.call('raystream.echo'), { code: 'closed' });
});

test('heartbeats go out; a gateway that answers none of them is left, and the session resumes', async () => {
  const backend = await backendOf('tcp', { onConnection: (connection, count) => (connection.silent = count === 1) });
  const session = sessionOf(backend, { heartbeatMs: 40 });
  await session.connect();
  const id = await sessionId(session);
  await eventually(() => backend.connections.length === 2 && session.state === 'connected', 'another connection');
  assert.equal(await sessionId(session), id);
  assert.match(session.states.find(([, message]) => message)[1], /heartbeats/);
  await new Promise((resolve) => (backend.last().onHeartbeat = resolve));
  assert.equal(backend.connections.length, 2);
});

test('a lost answer to RESUME costs nothing', async () => {
  const backend = await backendOf('tcp', {
    onConnection(connection, count) {
      if (count === 2 || count === 3) connection.onResuming = () => connection.socket.destroy();
    },
  });
  const session = sessionOf(backend);
  const subscription = session.subscribe('news');
  await subscription.ready;
  const id = await sessionId(session);
  backend.cut();
  backend.channels.publish('news', '"seen"');
  assert.equal((await subscription.next()).value.data, 'seen');
  assert.equal(await sessionId(session), id);
  assert.equal(backend.connections.length, 4);
});

test('a connection that drops before SUBSCRIBE is answered: the next one asks again', async () => {
  for (const from of [undefined, Buffer.alloc(8)]) {
    const backend = await backendOf('tcp');
    const session = sessionOf(backend);
    await session.connect();
    const { channels } = backend;
    const subscribe = channels.subscribe.bind(channels);
    let asked = 0;
    channels.subscribe = (connection, ...rest) => {
      if (++asked > 1) return subscribe(connection, ...rest);
      backend.cut();
      return Buffer.alloc(8);
    };
    channels.publish('news', '"old"');
    const subscription = session.subscribe('news', from ? { from } : {});
    await subscription.ready;
    assert.equal(asked, 2);
    channels.publish('news', '"new"');
    if (from) assert.equal((await subscription.next()).value.data, 'old');
    assert.equal((await subscription.next()).value.data, 'new');
  }
});

test('a session that is gone begins anew, and its subscriptions go on from their positions', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend);
  const subscription = session.subscribe('news');
  await subscription.ready;
  backend.channels.publish('news', '1');
  assert.equal((await subscription.next()).value.data, 1);
  const id = await sessionId(session);
  backend.sessions.clear();
  backend.cut();
  backend.channels.publish('news', '2');
  backend.channels.publish('news', '3');
  assert.equal((await subscription.next()).value.data, 2);
  assert.equal((await subscription.next()).value.data, 3);
  assert.notEqual(await sessionId(session), id);
});

test('CLOSE from the gateway: another connection takes over after SERVICE_UNAVAILABLE, a new session after CONFLICT and SESSION_EXPIRED', async () => {
  const backend = await backendOf('ws');
  const session = sessionOf(backend);
  for (const [code, same] of [[9, true], [6, false], [12, false], [10, true]]) {
    await session.call('raystream.echo');
    const id = await sessionId(session);
    const count = backend.connections.length;
    backend.last().close(code, 'by the test');
    await eventually(() => backend.connections.length > count && session.state === 'connected', 'another connection');
    assert.equal((await sessionId(session)) === id, same, `code ${code}`);
  }
});

test('RESET is an event; subscriptions that cannot be had say why', async () => {
  const backend = await backendOf('tcp');
  backend.channels.kept = 1;
  const session = sessionOf(backend);
  const subscription = session.subscribe('news');
  await subscription.ready;
  backend.channels.publish('news', '1');
  await subscription.next();
  backend.cut();
  for (let i = 2; i < 6; ++i) backend.channels.publish('news', String(i));
  assert.equal((await subscription.next()).value.type, 'reset');
  backend.channels.publish('news', '6');
  assert.equal((await subscription.next()).value.data, 6);

  backend.channels.subscribe = () => { throw new CallFailed(3, 404, 'not_found', 'there are no tables yet'); };
  const table = session.subscribe('notes', { kind: 'table' });
  await assert.rejects(table.ready, { status: 404, message: 'there are no tables yet' });
  await assert.rejects(table.next(), { errorCode: 'NOT_FOUND' });
});

test('several readers of one channel share a subscription; the last one that leaves ends it; a slow one ends alone', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend, { maxQueuedEvents: 3 });
  const [a, b] = [session.subscribe('news'), session.subscribe('news')];
  await Promise.all([a.ready, b.ready]);
  assert.equal(backend.channels.log('news').subscribers.size, 1);
  for (let i = 0; i < 5; ++i) {
    const next = a.next();
    backend.channels.publish('news', String(i));
    assert.equal((await next).value.data, i);
  }
  for (let i = 0; i < 3; ++i) assert.equal((await b.next()).value.data, i);
  await assert.rejects(b.next(), { code: 'slow_consumer' });
  assert.equal(backend.channels.log('news').subscribers.size, 1);
  await a.close();
  await eventually(() => backend.channels.log('news').subscribers.size === 0, 'the subscription ends on the server');
  assert.equal((await a.next()).done, true);
});

test('a client that goes without close leaves a session that can be resumed', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend);
  await session.connect();
  await session.send('drop');
  assert.equal((await backend.last().ended).by, 'drop');
  assert.equal(backend.sessions.size, 1);
});

test('no nonce is used twice', async () => {
  const seen = new Set();
  let twice = 0;
  const backend = await backendOf('tcp', {
    onConnection(connection) {
      const { onFrame } = Object.getPrototypeOf(connection);
      connection.onFrame = function (frame) {
        const nonce = `${frame.type === 1 ? 'init' : ''}${frame.whole.subarray(16, 28).toString('hex')}`;
        twice += seen.has(nonce) ? 1 : 0;
        seen.add(nonce);
        return onFrame.call(this, frame);
      };
    },
  });
  const session = sessionOf(backend);
  await Promise.all(Array.from({ length: 2000 }, (_, i) => session.call('raystream.echo', i)));
  assert.equal(twice, 0);
  assert.ok(seen.size > 2000);
});
