// What goes wrong around a session, as clients/js/tests/failures.test.mjs has it, and what only this client has.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { encode } from '../../../tests/interop/raystream/messages.mjs';
import { answerSubscribeSlowly, CallFailed, closeBehind, eventually, serverKeys, startBackend } from '../../js/tests/backend.mjs';
import { Session } from './driver.mjs';

const opened = [];
after(async () => {
  for (const close of opened) await close();
});

async function backendOf(kind, options) {
  const backend = await startBackend(kind, options);
  opened.push(backend.stop);
  return backend;
}

function sessionOf(backend, options = {}) {
  const session = new Session({ url: backend.url, apiKey: 'test-key', serverKeys, timeoutMs: 30_000, ...options });
  opened.unshift(() => session.quit());
  return session;
}

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
  await third.ready;
  await closed;
  backend.channels.publish('news', '2');
  assert.equal((await third.next()).value.data, 2);
  assert.equal(serverHas(backend, 'news'), 1);
  await third.close();
  assert.equal(serverHas(backend, 'news'), 0);
});

test('what is left, and taken up anew, while RESUME is on its way', async () => {
  let resuming;
  const backend = await backendOf('tcp', {
    onConnection(connection, count) {
      if (count === 1) return;
      // The answer to RESUME waits until the test has done its part.
      const answer = connection.onResume.bind(connection);
      connection.onResume = (resume) => (resuming = () => answer(resume));
    },
  });
  const session = sessionOf(backend);
  const [a, b] = [session.subscribe('a'), session.subscribe('b')];
  await Promise.all([a.ready, b.ready]);
  backend.channels.publish('b', '1');
  const { position } = (await b.next()).value;
  backend.channels.publish('b', '2');
  await b.next();
  backend.cut();
  await eventually(() => resuming, 'RESUME');
  await a.close();
  await b.close();
  const anew = session.subscribe('b', { from: position });
  await anew.made;
  resuming();
  await anew.ready;
  assert.equal((await anew.next()).value.data, 2);
  await eventually(() => serverHas(backend, 'a') === 0, 'the end of the first one');
  const back = session.subscribe('a');
  await back.ready;
  backend.channels.publish('a', '3');
  assert.equal((await back.next()).value.data, 3);
});

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
  assert.equal(serverHas(backend, 'news'), 0);
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
  const { sessionId } = await session.status();
  assert.deepEqual(backend.connections.map((connection) => connection.sessionId), Array(3).fill(sessionId));
});

test('progress callbacks that throw fail their own call alone', async () => {
  let finish;
  const backend = await backendOf('tcp', { methods: { wait: () => new Promise((resolve) => (finish = () => resolve(Buffer.from('"done"')))) } });
  const session = sessionOf(backend);
  const other = session.call('wait');
  await eventually(() => finish, 'the other call');
  for (const throws of ['onUpload', 'onDownload'])
    await assert.rejects(session.call('raystream.echo', 'x'.repeat(3 * 1048576), { throws }), { code: 'thrown', message: 'of the application' });
  finish();
  assert.equal(await other, 'done');
  assert.equal(backend.connections.length, 1);
});

test('authorities that cannot be read, and heartbeats without a pause, are refused at once and by name', async () => {
  for (const url of ['tls://127.0.0.1:4100', 'wss://127.0.0.1', 'https://127.0.0.1'])
    await assert.rejects(sessionOf({ url }, { tlsCaFile: '/nowhere/ca.pem' }).made, (error) => error.code === 'invalid_option' && /\/nowhere\/ca\.pem/.test(error.message));
  await assert.rejects(sessionOf({ url: 'tcp://127.0.0.1:4100' }, { heartbeatMs: 0 }).made, { code: 'invalid_option', message: /heartbeat/ });
});

test('close does not wait for keys that do not come', async (t) => {
  let asked;
  let gone = false;
  const silent = createServer((socket) => {
    socket.on('data', () => (asked = socket));
    socket.on('error', () => {});
    socket.on('close', () => (gone = true));
  });
  t.after(() => {
    asked?.destroy();
    silent.close();
  });
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const session = sessionOf({ url: `http://127.0.0.1:${silent.address().port}` }, { serverKeys: [] });
  const call = session.call('info');
  call.catch(() => {});
  await eventually(() => asked, 'the question');
  await session.close();
  await assert.rejects(call, { code: 'closed' });
  await eventually(() => gone, 'the end of the connection');
});
