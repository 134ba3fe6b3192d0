// What goes wrong around a session, as clients/js/tests/failures.test.mjs has it, and what only this client has.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { encode } from '../../../tests/interop/raystream/messages.mjs';
import { answerSubscribeSlowly, closeBehind, eventually, serverKeys } from '../../js/tests/backend.mjs';
import { openedFor, subscriptionsFail } from '../../js/tests/claims.mjs';
import { Session } from './driver.mjs';

const { backendOf, sessionOf } = openedFor(
  (backend, options) => new Session({ url: backend.url, apiKey: 'test-key', serverKeys, timeoutMs: 30_000, ...options }),
  (session) => session.quit());

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
