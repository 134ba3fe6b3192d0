// Sessions against the protocol's second implementation, with each platform's primitives, each cipher, over WebSockets and TCP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallFailed, eventually, json, serverKeys, startBackend, WebSocket } from './backend.mjs';
import { openedFor, subscriptionsAreAskedForAgain } from './claims.mjs';
import { Session } from '../dist/esm/session.js';
import { platform as nodePlatform } from '../dist/esm/platform_node.js';
import { platform as webPlatform } from '../dist/esm/platform_web.js';

const { backendOf, sessionOf } = openedFor(
  (backend, options, platform = nodePlatform) => new Session({ url: backend.url, apiKey: 'test-key', serverKeys, webSocket: WebSocket, ...options }, platform),
  (session) => session.close());

subscriptionsAreAskedForAgain(backendOf, sessionOf);

for (const kind of ['ws', 'tcp']) {
  for (const [where, platform] of [['node', nodePlatform], ['web', { ...webPlatform, connectTcp: nodePlatform.connectTcp }]]) {
    for (const cipher of ['chacha20-poly1305', 'aes-256-gcm']) {
      // Once with ciphers that answer at once, once with WebCrypto's, which don't.
      const rekeys = kind === 'tcp' && (where === 'node') === (cipher === 'chacha20-poly1305');
      test(`${kind}, ${where}, ${cipher}: calls,${rekeys ? ' a change of keys,' : ''} events, a dropped connection that resumes`, async () => {
        const backend = await backendOf(kind);
        const session = sessionOf(backend, { ciphers: [cipher], timeoutMs: 60_000 }, platform);
        assert.deepEqual(await session.call('raystream.echo', { n: 1 }), { n: 1 });
        assert.equal(session.cipher, cipher);
        const { sessionId } = session;

        const subscription = session.subscribe('news');
        await subscription.ready;
        const calls = rekeys ? 16_500 : 500;
        for (let at = 0; at < calls; at += 500) await Promise.all(Array.from({ length: 500 }, () => session.call('raystream.echo', 1)));
        if (rekeys) {
          assert.equal(backend.last().in.epoch, 1n);
          assert.equal(backend.last().out.epoch, 1n);
        }

        backend.channels.publish('news', JSON.stringify({ n: 1 }));
        assert.deepEqual((await subscription.next()).value.data, { n: 1 });

        backend.cut();
        backend.channels.publish('news', JSON.stringify({ n: 2 }));
        const { value } = await subscription.next();
        assert.deepEqual(value.data, { n: 2 });
        assert.equal(value.type, 'message');
        assert.equal(session.sessionId, sessionId);
        assert.equal(backend.connections.length, 2);
        assert.deepEqual(await session.call('raystream.echo', 'again'), 'again');
        await session.close();
        assert.equal((await subscription.next()).done, true);
        // A normal end, and the session is gone on the server, too.
        assert.deepEqual(await backend.last().ended, { code: 0, reason: '', by: 'peer' });
        assert.equal(backend.sessions.size, 0);
      });
    }
  }

  test(`${kind}: arguments and results of several MiB, with progress, beside small calls`, async () => {
    const backend = await backendOf(kind);
    for (const platform of [nodePlatform, { ...webPlatform, connectTcp: nodePlatform.connectTcp }]) {
      const session = sessionOf(backend, { timeoutMs: 60_000 }, platform);
      const bytes = Uint8Array.from({ length: 5 * 1048576 + 3 }, (_, i) => i * 7);
      const sent = [];
      const received = [];
      const large = session.call('raystream.echo', bytes, { onUpload: (n) => sent.push(n), onDownload: (n) => received.push(n) });
      assert.deepEqual(await session.call('raystream.echo', 5), 5);
      assert.ok(Buffer.from(await large).equals(bytes));
      for (const steps of [sent, received]) {
        assert.ok(steps.length > 3);
        assert.deepEqual([...steps].sort((a, b) => a - b), steps);
        assert.equal(steps.at(-1), bytes.length);
      }
      await assert.rejects(session.call('raystream.echo', new Uint8Array(16 * 1048576 + 1)), { status: 413, retryable: false });
      await session.close();
    }
  });
}

test('a server with another key is not trusted, at once and by name', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend, { serverKeys: [{ id: 'test', publicKey: new Uint8Array(32).fill(9) }] });
  await assert.rejects(session.call('raystream.echo'), { code: 'server_not_trusted', status: 0, retryable: false });
  const other = sessionOf(backend, { serverKeys: [{ ...serverKeys[0], id: 'other' }] });
  await assert.rejects(other.call('raystream.echo'), (error) => error.code === 'server_not_trusted' && /"test"/.test(error.message));
  await assert.rejects(async () => sessionOf(backend, { serverKeys: [{ id: 'test', publicKey: 'AAAA' }] }), /3 bytes instead of 32/);
});

test('a RESPONSE that was changed is not trusted, on either platform', async () => {
  const flip = (at) => (response) => {
    const changed = Buffer.from(response);
    changed[at < 0 ? changed.length + at : at] ^= 1;
    return changed;
  };
  const cases = [{ breakResponse: flip(-1) }, { breakResponse: flip(-20) }, { hello: { version: 2 } }, { hello: { selected_cipher: 'rot13' } },
    { hello: { session_id: 'x' } }, { hello: { resumed: true } }, { hello: { server_pub: Buffer.alloc(32) } }, { hello: { server_pub: Buffer.alloc(31) } }];
  for (const platform of [nodePlatform, { ...webPlatform, connectTcp: nodePlatform.connectTcp }]) {
    for (const fixed of cases) {
      const backend = await backendOf('tcp', { fixed });
      const session = sessionOf(backend, {}, platform);
      await assert.rejects(session.call('raystream.echo'), { code: 'server_not_trusted' }, JSON.stringify(fixed));
      // Without a word.
      assert.equal((await backend.last().ended).by, 'drop');
      await session.close();
    }
  }
});

test('frames that were changed end the connection with the code of the page, and the session goes on over another', async () => {
  const cases = [
    [(f) => f.fill(2, 0, 1), 4], [(f) => f.fill(1, 3, 4), 4], [(f) => f.fill(9, 7, 8), 14], [(f) => f.fill(1, 8, 9), 4],
    [(f) => f.fill(1, 15, 16), 4], [(f) => f.fill(7, 27, 28), 14], [(f) => f.fill(f[28] ^ 1, 28, 29), 13], [(f) => f.fill(f.at(-1) ^ 1, f.length - 1), 13],
  ];
  for (const platform of [nodePlatform, { ...webPlatform, connectTcp: nodePlatform.connectTcp }]) {
    for (const [change, code] of cases) {
      const backend = await backendOf('tcp', {
        onConnection(connection, count) {
          if (count > 1) return;
          const { write } = connection.transport;
          connection.transport.write = (bytes) => write(bytes[1] === 0x11 && bytes.readUInt32BE(4) === 2 ? change(Buffer.from(bytes)) : bytes);
        },
      });
      const session = sessionOf(backend, {}, platform);
      await session.connect();
      const { sessionId } = session;
      assert.equal(await session.call('raystream.echo', 5), 5);
      assert.equal((await backend.connections[0].ended).code, code);
      assert.equal(session.sessionId, sessionId);
      assert.equal(backend.connections.length, 2);
      await session.close();
    }
  }
});

test('a wrong API key fails clearly, and is not tried again', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend, { apiKey: 'wrong' });
  await assert.rejects(session.call('raystream.echo'), { name: 'DontCodeError', status: 401, code: 'invalid_api_key', errorCode: 'UNAUTHORIZED', retryable: false });
  assert.equal(backend.connections.length, 1);
});

test('a write whose connection breaks is OUTCOME_UNKNOWN; with an idempotency key, and reads, are repeated', async () => {
  const backend = await backendOf('tcp', {
    methods: {
      'db.insert': async () => new Promise(() => backend.cut()),
      'db.update': json((_, { metadata }) => {
        if (backend.calls.filter(({ name }) => name === 'db.update').length < 3) backend.cut();
        return { key: metadata['idempotency-key'] };
      }),
      'db.find': json(() => {
        if (backend.calls.filter(({ name }) => name === 'db.find').length < 2) backend.cut();
        return { data: [] };
      }),
    },
  });
  const session = sessionOf(backend);
  await assert.rejects(session.call('db.insert', {}), { code: 'outcome_unknown', errorCode: 'OUTCOME_UNKNOWN', status: 503, retryable: false });
  assert.deepEqual(await session.call('db.update', {}, { idempotencyKey: 'k1' }), { key: 'k1' });
  assert.deepEqual(await session.call('db.find', {}), { data: [] });
  const tries = (name) => backend.calls.filter((call) => call.name === name).length;
  assert.deepEqual([tries('db.insert'), tries('db.update'), tries('db.find')], [1, 3, 2]);
});

test('errors of calls: codes, three tries, none for 4xx, RATE_LIMITED after its time, TIMEOUT once more', async () => {
  const fails = { unavailable: [9, 503, 'unavailable'], refused: [4, 400, 'invalid_request'], slow: [10, 504, 'deadline_exceeded'] };
  const backend = await backendOf('tcp', {
    methods: {
      ...Object.fromEntries(Object.entries(fails).map(([name, [code, status, text]]) => [name, async () => { throw new CallFailed(code, status, text, `it is ${name}`); }])),
      limited: json(() => {
        if (backend.calls.filter(({ name }) => name === 'limited').length === 1) throw new CallFailed(7, 429, 'rate_limited', 'slowly', 40);
        return 'done';
      }),
    },
  });
  const session = sessionOf(backend);
  const tries = (name) => backend.calls.filter((call) => call.name === name).length;
  const idempotent = { idempotent: true };
  await assert.rejects(session.call('unavailable', {}, idempotent), { code: 'unavailable', status: 503, errorCode: 'SERVICE_UNAVAILABLE', message: 'it is unavailable', retryable: true });
  await assert.rejects(session.call('refused', {}, idempotent), { code: 'invalid_request', status: 400, errorCode: 'INVALID_REQUEST', retryable: false });
  await assert.rejects(session.call('slow', {}, idempotent), { code: 'deadline_exceeded', status: 504, errorCode: 'TIMEOUT' });
  assert.deepEqual([tries('unavailable'), tries('refused'), tries('slow')], [3, 1, 2]);
  const before = Date.now();
  assert.equal(await session.call('limited', {}, idempotent), 'done');
  assert.ok(Date.now() - before >= 39);
  await assert.rejects(session.call('unavailable'), { code: 'unavailable' });
  assert.equal(tries('unavailable'), 4);
  await assert.rejects(session.call('nothing'), { status: 404, errorCode: 'NOT_FOUND' });
});

test('timeouts and signals end a call here; its late answer is nobody else\'s', async () => {
  let answer;
  const backend = await backendOf('tcp', { methods: { wait: () => new Promise((resolve) => (answer = () => resolve(Buffer.from('"late"')))) } });
  const session = sessionOf(backend);
  await session.connect();
  await assert.rejects(session.call('wait', {}, { timeout: 30 }), { name: 'DontCodeError', status: 408, code: 'Timeout', errorCode: 'TIMEOUT' });
  const sent = Number(backend.calls.at(-1).metadata['timeout-ms']);
  assert.ok(sent >= 1 && sent <= 30);
  answer();
  const stop = new AbortController();
  const call = session.call('wait', {}, { signal: stop.signal });
  await eventually(() => backend.calls.filter(({ name }) => name === 'wait').length === 2, 'the call arrives');
  stop.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
  answer();
  assert.equal(await session.call('raystream.echo', 'next'), 'next');
  await assert.rejects(session.call('raystream.echo', 1, { signal: AbortSignal.abort(new Error('before')) }), /before/);
});

test('a large call that is given up on the way is never carried out, and does not stay open', async () => {
  let written = 0;
  const backend = await backendOf('tcp', { methods: { write: json(() => ++written) } });
  const session = sessionOf(backend);
  await session.connect();
  const stop = new AbortController();
  const call = session.call('write', 'x'.repeat(12 * 1048576), { signal: stop.signal, onUpload: () => stop.abort(new Error('enough')) });
  await assert.rejects(call, /enough/);
  await eventually(() => backend.calls.some(({ name }) => name === 'write'), 'the call ends on the server');
  assert.equal(await session.call('raystream.echo', 'next'), 'next');
  assert.equal(written, 0);
  assert.equal(backend.last().calls.open.size, 0);
});

test('without a gateway a call says why when its time is over, and works when there is one', async () => {
  const gone = await startBackend('tcp');
  await gone.stop();
  const session = sessionOf(gone);
  await assert.rejects(session.call('raystream.echo', 1, { timeout: 300 }), (error) => error.code === 'NetworkError' && error.status === 0 && /ECONNREFUSED/.test(error.message));
  await session.close();
  await assert.rejects(session.call('raystream.echo'), { code: 'closed' });
});

test('heartbeats go out; a gateway that answers none of them is left, and the session resumes', async () => {
  const backend = await backendOf('tcp', { onConnection: (connection, count) => (connection.silent = count === 1) });
  const states = [];
  const session = sessionOf(backend, { heartbeatMs: 40, onStateChange: (state, error) => states.push([state, error?.message]) });
  await session.connect();
  const { sessionId } = session;
  await eventually(() => backend.connections.length === 2 && session.state === 'connected', 'another connection');
  assert.equal(session.sessionId, sessionId);
  assert.match(states.find(([, message]) => message)[1], /heartbeats/);
  const beats = new Promise((resolve) => (backend.last().onHeartbeat = resolve));
  await beats;
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
  const { sessionId } = session;
  backend.cut();
  backend.channels.publish('news', '"seen"');
  assert.equal((await subscription.next()).value.data, 'seen');
  assert.equal(session.sessionId, sessionId);
  assert.equal(backend.connections.length, 4);
});

test('a connection that drops before SUBSCRIBE is answered: the next one asks again', async () => {
  for (const from of [undefined, Buffer.from('0000000000000000', 'hex')]) {
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
    await session.close();
  }
});

test('a session that is gone begins anew, and its subscriptions go on from their positions', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend);
  const subscription = session.subscribe('news');
  await subscription.ready;
  backend.channels.publish('news', '1');
  assert.equal((await subscription.next()).value.data, 1);
  const { sessionId } = session;
  backend.sessions.clear();
  backend.cut();
  backend.channels.publish('news', '2');
  backend.channels.publish('news', '3');
  assert.equal((await subscription.next()).value.data, 2);
  assert.equal((await subscription.next()).value.data, 3);
  assert.notEqual(session.sessionId, sessionId);
});

test('CLOSE from the gateway: another connection takes over after SERVICE_UNAVAILABLE, a new session after CONFLICT and SESSION_EXPIRED', async () => {
  const backend = await backendOf('ws');
  const session = sessionOf(backend);
  for (const [code, same] of [[9, true], [6, false], [12, false], [10, true]]) {
    await session.call('raystream.echo');
    const { sessionId } = session;
    const count = backend.connections.length;
    backend.last().close(code, 'by the test');
    await eventually(() => backend.connections.length > count && session.state === 'connected', 'another connection');
    assert.equal(session.sessionId === sessionId, same, `code ${code}`);
  }
});

test('RESET is an event; subscriptions that cannot be had say why; NOT_FOUND', async () => {
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
  assert.equal((await table.next()).done, true);
});

test('several readers of one channel share a subscription; the last one that leaves ends it; a slow one ends alone', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend, { maxQueuedEvents: 3 });
  const [a, b] = [session.subscribe('news'), session.subscribe('news')];
  await Promise.all([a.ready, b.ready]);
  assert.equal(backend.channels.log('news').subscribers.size, 1);
  const read = [];
  const reading = (async () => {
    for await (const event of a) {
      read.push(event.data);
      if (read.length === 5) break;
    }
  })();
  for (let i = 0; i < 5; ++i) {
    backend.channels.publish('news', String(i));
    await eventually(() => read.length === i + 1, 'an event');
  }
  await reading;
  assert.deepEqual(read, [0, 1, 2, 3, 4]);
  const slow = [];
  await assert.rejects((async () => { for await (const event of b) slow.push(event.data); })(), { code: 'slow_consumer' });
  assert.deepEqual(slow, [0, 1, 2]);
  await eventually(() => backend.channels.log('news').subscribers.size === 0, 'the subscription ends on the server');
});

test('no nonce is used twice, also when frames are encrypted elsewhere', async () => {
  for (const platform of [nodePlatform, { ...webPlatform, connectTcp: nodePlatform.connectTcp }]) {
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
    const session = sessionOf(backend, { timeoutMs: 60_000 }, platform);
    await Promise.all(Array.from({ length: 2000 }, (_, i) => session.call('raystream.echo', i)));
    assert.equal(twice, 0);
    assert.ok(seen.size > 2000);
    await session.close();
  }
});
