// What goes wrong around a session: answers that the end of the connection overtakes, readers that leave early, ways to the keys that cannot be
// trusted, callbacks that throw, a process that wants to end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { encode } from '../../../tests/interop/raystream/messages.mjs';
import { answerSubscribeSlowly, CallFailed, closeBehind, eventually, serverKeys, startBackend, WebSocket } from './backend.mjs';
import { openedFor, subscriptionsFail } from './claims.mjs';
import { Direction } from '../dist/esm/frames.js';
import { raymesh } from '../dist/esm/index.js';
import { Session } from '../dist/esm/session.js';
import { platform as nodePlatform } from '../dist/esm/platform_node.js';
import { platform as webPlatform } from '../dist/esm/platform_web.js';

const { backendOf, sessionOf } = openedFor(
  (backend, options) => new Session({ url: backend.url, apiKey: 'test-key', serverKeys, webSocket: WebSocket, timeoutMs: 30_000, ...options }, nodePlatform),
  (session) => session.close());

subscriptionsFail(backendOf, sessionOf);

const serverHas = (backend, name) => backend.channels.log(name).subscribers.size;

test('a name that is left before SUBSCRIBE was answered, and taken up again: one subscription on the server, each event once', async () => {
  const backend = await backendOf('tcp', { onConnection: answerSubscribeSlowly });
  const session = sessionOf(backend);
  await session.connect();
  const early = session.subscribe('news');
  const left = early.close();
  await assert.rejects(early.ready, { code: 'closed', message: /"news"/ });
  const again = session.subscribe('news');
  await again.ready;
  await left;
  const closed = again.close();
  const third = session.subscribe('news');
  // Of the one that is ending.
  backend.channels.publish('news', '1');
  await third.ready;
  await closed;
  backend.channels.publish('news', '2');
  assert.equal((await third.next()).value.data, 2);
  assert.equal(serverHas(backend, 'news'), 1);
  await third.close();
  assert.equal(serverHas(backend, 'news'), 0);
  const alone = session.subscribe('other');
  await alone.close();
  assert.equal(serverHas(backend, 'other'), 0);
});

test('subscribed anew behind an event while the old subscription is ending: nothing twice, nothing out of order', async () => {
  const backend = await backendOf('tcp', { onConnection: answerSubscribeSlowly });
  const session = sessionOf(backend);
  const first = session.subscribe('news');
  await first.ready;
  for (const n of [1, 2, 3]) backend.channels.publish('news', String(n));
  const { value } = await first.next();
  const closed = first.close();
  const second = session.subscribe('news', { from: value.position });
  backend.channels.publish('news', '4');
  const read = [];
  while (read.length < 3) read.push((await second.next()).value.data);
  assert.deepEqual(read, [2, 3, 4]);
  await closed;
});

test('what is left, and taken up anew, while RESUME is on its way', async () => {
  let meanwhile = () => {};
  const backend = await backendOf('tcp', { onConnection: (connection) => (connection.onResuming = () => meanwhile()) });
  const session = sessionOf(backend);
  const [a, b] = [session.subscribe('a'), session.subscribe('b')];
  await Promise.all([a.ready, b.ready]);
  backend.channels.publish('b', '1');
  const { position } = (await b.next()).value;
  backend.channels.publish('b', '2');
  await b.next();
  let anew;
  // RESUME has named both, and its answer has not been read.
  meanwhile = () => {
    void a.close();
    void b.close();
    anew = session.subscribe('b', { from: position });
  };
  backend.cut();
  await eventually(() => anew, 'RESUME');
  await anew.ready;
  assert.equal((await anew.next()).value.data, 2);
  await eventually(() => serverHas(backend, 'a') === 0, 'the end of the first one');
  assert.equal(serverHas(backend, 'b'), 1);
  const back = session.subscribe('a');
  await back.ready;
  backend.channels.publish('a', '3');
  assert.equal((await back.next()).value.data, 3);
});

test('an answer that comes together with the end of the connection is the answer', async () => {
  const backend = await backendOf('tcp', {
    methods: {
      'db.insert': async (_, { connection }) => {
        closeBehind(connection, 9);
        throw new CallFailed(9, 503, 'unavailable', 'the gateway is being stopped');
      },
    },
  });
  const session = sessionOf(backend);
  await assert.rejects(session.call('db.insert', {}), { code: 'unavailable', errorCode: 'SERVICE_UNAVAILABLE' });
  assert.equal((await backend.last().ended).code, 9);
});

test('a session that is attached, or resumed, in the moment in which its connection ends can be resumed', async () => {
  const backend = await backendOf('tcp', {
    methods: {
      'auth.attach': async (_, { connection }) => {
        closeBehind(connection, 9);
        return encode('Attached', { expires_at: Date.now() + 300_000 });
      },
    },
    onConnection(connection, count) {
      if (count === 2) connection.onResuming = () => closeBehind(connection, 9);
    },
  });
  const session = sessionOf(backend);
  await session.connect();
  assert.deepEqual(backend.connections.map(({ sessionId }) => sessionId), Array(3).fill(session.sessionId));
});

test('who waits for a connection when the client is closed is told so', async () => {
  const gone = await startBackend('tcp');
  await gone.stop();
  const session = sessionOf(gone);
  const calls = [session.connect(), session.call('raystream.echo'), session.subscribe('news').ready];
  for (const call of calls) call.catch(() => {});
  // The first attempt has failed: it is the pause that is interrupted, sooner or later.
  await eventually(() => session.lastError, 'an attempt');
  await session.close();
  for (const call of calls) await assert.rejects(call, { name: 'DontCodeError', code: 'closed' });
});

test('who closes a client that is being closed waits for the same end', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend);
  await session.connect();
  void session.close();
  await session.close();
  assert.equal(session.state, 'closed');
});

test('progress callbacks that throw fail their own call alone', async () => {
  let finish;
  const backend = await backendOf('tcp', { methods: { wait: () => new Promise((resolve) => (finish = () => resolve(Buffer.from('"done"')))) } });
  const session = sessionOf(backend);
  const other = session.call('wait');
  await eventually(() => finish, 'the other call');
  const thrown = () => {
    throw new Error('of the application');
  };
  const large = 'x'.repeat(3 * 1048576);
  await assert.rejects(session.call('raystream.echo', large, { onUpload: thrown }), /of the application/);
  await assert.rejects(session.call('raystream.echo', large, { onDownload: thrown }), /of the application/);
  finish();
  assert.equal(await other, 'done');
  assert.equal(backend.connections.length, 1);
});

test('what is logged of a client has no key, token or secret in it', async () => {
  const backend = await backendOf('tcp', { methods: { 'auth.me': async () => Buffer.from([8, 1]) } });
  const client = raymesh({ url: backend.url, apiKey: 'test-key', accessToken: 'secret-token', serverKeys });
  const claims = Buffer.from(JSON.stringify({ sub: 'u' })).toString('base64url');
  await client.auth.getSession({ accessToken: `x.${claims}.users-token`, mode: 'verified' });
  const logged = `${inspect(client, { depth: 12, maxArrayLength: null })}${JSON.stringify(client)}`;
  assert.doesNotMatch(logged, /test-key|secret-token|users-token|secret:/);
  assert.ok(logged.includes(client.raystream.sessionId));
  await client.close();
});

test('metadata that fits no frame is refused here, also without arguments', async () => {
  const backend = await backendOf('tcp');
  const session = sessionOf(backend);
  const metadata = { traceparent: 'x'.repeat(2 * 1048576) };
  for (const args of [{}, new Uint8Array()]) await assert.rejects(session.call('raystream.echo', args, { metadata }), { status: 431, code: 'headers_too_large' });
  assert.equal(await session.call('raystream.echo', 1), 1);
  assert.equal(backend.connections.length, 1);
});

test('keys are read from where they are asked for and nowhere else; what is no gateway is called so', async (t) => {
  const fronts = [];
  t.after(() => fronts.forEach((server) => { server.closeAllConnections?.(); server.close(); }));
  const front = async (answer) => {
    const server = createServer(answer);
    fronts.push(server);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${server.address().port}`;
  };
  const ask = (url) => sessionOf({ url }, { serverKeys: undefined }).call('info');
  const target = await front((_, response) => response.end(JSON.stringify({ keys: [{ id: 'test', algorithm: 'ed25519', publicKey: Buffer.from(serverKeys[0].publicKey).toString('base64url') }] })));
  let followed = false;
  fronts[0].on('request', () => (followed = true));
  const redirects = await front((_, response) => response.writeHead(302, { location: `${target}/api/v1/raystream/key` }).end());
  await assert.rejects(ask(redirects), { code: 'server_keys_unknown', status: 302, retryable: false });
  assert.equal(followed, false);
  for (const body of ['<!doctype html>', 'null', '{}', '{"keys":[{"id":"a","algorithm":"ed25519","publicKey":"%%%"}]}']) {
    const url = await front((_, response) => response.end(body));
    await assert.rejects(ask(url), (error) => error.code === 'server_keys_unknown' && error.message.includes(url), body);
  }
  // One that does not answer: close does not wait for it.
  let gone;
  const ended = new Promise((resolve) => (gone = resolve));
  let asked = false;
  const silent = await front((request) => {
    asked = true;
    request.socket.once('close', gone);
  });
  const session = sessionOf({ url: silent }, { serverKeys: undefined });
  const call = session.call('info');
  call.catch(() => {});
  await eventually(() => asked, 'the question');
  await session.close();
  await ended;
  await assert.rejects(call, { code: 'closed' });
});

test('a key is overwritten when its epoch has ended, and at the end', () => {
  for (const platform of [nodePlatform, webPlatform]) {
    const wiped = [];
    const direction = new Direction({ ...platform, aead: (cipher, key) => {
      const aead = platform.aead(cipher, key);
      return { ...aead, wipe: () => { aead.wipe(); wiped.push(Buffer.from(aead.seal(new Uint8Array(12), new Uint8Array(), new Uint8Array(8))).toString('hex')); } };
    } }, 'chacha20-poly1305', new Uint8Array(32).fill(1));
    for (let i = 0; i < 16384; ++i) direction.seal(0x30, new Uint8Array());
    direction.wipe();
    const zeros = Buffer.from(platform.aead('chacha20-poly1305', new Uint8Array(32)).seal(new Uint8Array(12), new Uint8Array(), new Uint8Array(8))).toString('hex');
    assert.deepEqual(wiped, [zeros, zeros]);
  }
});

// ---- In a process of its own ----

async function run(backend, source) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    import { WebSocket } from '../../tests/interop/raystream/ws.mjs';
    import { Session } from './dist/esm/session.js';
    import { platform } from './dist/esm/platform_node.js';
    const serverKeys = [{ id: 'test', publicKey: '${Buffer.from(serverKeys[0].publicKey).toString('base64url')}' }];
    const sessionOf = (options) => new Session({ url: '${backend.url}', apiKey: 'test-key', serverKeys, webSocket: WebSocket, ...options }, platform);
    ${source}`], { stdio: ['ignore', 'pipe', 'inherit'], cwd: join(dirname(fileURLToPath(import.meta.url)), '..') });
  let said = '';
  child.stdout.on('data', (bytes) => (said += bytes));
  const timer = setTimeout(() => child.kill('SIGKILL'), 25_000);
  const [code, signal] = await new Promise((resolve) => child.once('close', (...how) => resolve(how)));
  clearTimeout(timer);
  return { code, signal, said };
}

for (const kind of ['tcp', 'ws'])
  test(`${kind}: a process ends after close, also when the gateway does not read any more`, async () => {
    const backend = await backendOf(kind, {
      methods: {
        dark: async (args, { connection: { socket } }) => {
          (socket._socket ?? socket).pause();
          return args;
        },
      },
    });
    assert.deepEqual(await run(backend, "const session = sessionOf(); await session.call('dark'); await session.close();"), { code: 0, signal: null, said: '' });
  });

test('a process ends after a WebSocket that broke with bytes in it, which it counts for good', async () => {
  const backend = await backendOf('ws');
  const source = `class Broken extends WebSocket { get bufferedAmount() { return super.bufferedAmount + 5; } }
    const session = sessionOf({ webSocket: Broken }); await session.connect(); await session.close();`;
  assert.deepEqual(await run(backend, source), { code: 0, signal: null, said: '' });
});

test('onStateChange that throws is reported, and stops nothing', async () => {
  const backend = await backendOf('tcp');
  const source = `let count = 0; process.on('uncaughtException', ({ message }) => { count += 1; if (message !== 'of the application') throw new Error(message); });
    const session = sessionOf({ onStateChange: () => { throw new Error('of the application'); } });
    console.log(await session.call('raystream.echo', 'answer')); await session.close(); setImmediate(() => console.log(count));`;
  assert.deepEqual(await run(backend, source), { code: 0, signal: null, said: 'answer\n3\n' });
});
