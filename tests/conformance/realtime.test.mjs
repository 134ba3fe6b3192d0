// semantics A7: tokens through the SDK, sockets through npm ws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { eventually, http, otherProject, realtimeUrl, rejects, sdk, unique } from './client.mjs';

const { realtime } = sdk();

/** An open socket that keeps what it got. */
async function connect(input, url) {
  const conn = 'token' in input ? input : await realtime.mintToken(input);
  const socket = new WebSocket(`${url ?? realtimeUrl(conn.url)}?token=${encodeURIComponent(conn.token)}`);
  const client = { socket, messages: [], closed: null };
  socket.on('message', (data) => client.messages.push(JSON.parse(data.toString())));
  socket.on('close', (code, reason) => (client.closed = { code, reason: reason.toString() }));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_req, res) => reject(Object.assign(new Error(`HTTP ${res.statusCode}`), { status: res.statusCode })));
  });
  client.send = (value) => socket.send(typeof value === 'string' ? value : JSON.stringify(value));
  client.next = (n = 1) => eventually(() => client.messages.length >= n && client.messages, `${n} messages, have ${client.messages.length}`);
  client.end = () => eventually(() => client.closed, 'the socket to close');
  return client;
}

const present = (channel, n) => eventually(async () => (await realtime.presence(channel)).length === n, `${n} present`);

test('a published message reaches every subscriber of its channel and nobody else', async () => {
  const channel = unique('room');
  const a = await connect({ channels: [channel] });
  const b = await connect({ channels: [channel, unique('x')] });
  const c = await connect({ channels: [unique('elsewhere')] });
  await present(channel, 2);
  const payload = { text: 'hällo 日本 🙂 "quoted" \\', n: [1, null, { deep: true }] };
  assert.equal(await realtime.publish(channel, payload), 2);
  assert.deepEqual((await a.next())[0], { type: 'message', channel, payload });
  assert.deepEqual((await b.next())[0], { type: 'message', channel, payload });
  assert.equal(c.messages.length, 0);
  for (const x of [a, b, c]) x.socket.close();
});

test('nobody there: delivered is 0', async () => {
  assert.equal(await realtime.publish(unique('empty'), 1), 0);
});

test('a socket may publish to its own channels, without an echo', async () => {
  const channel = unique('room');
  const foreign = unique('foreign');
  const a = await connect({ channels: [channel] });
  const b = await connect({ channels: [channel] });
  const f = await connect({ channels: [foreign] });
  await present(channel, 2);
  await present(foreign, 1);
  a.send('not json');
  a.send({ type: 'other' });
  a.send({ type: 'publish', channel: foreign, payload: 'must not arrive' });
  a.send({ type: 'publish', channel, payload: { from: 'a' } });
  assert.deepEqual((await b.next())[0], { type: 'message', channel, payload: { from: 'a' } });
  assert.equal(await realtime.publish(foreign, 'marker'), 1);
  assert.deepEqual((await f.next())[0].payload, 'marker');
  assert.equal(await realtime.publish(channel, 'last'), 2);
  assert.deepEqual((await a.next()).map((m) => m.payload), ['last']);
  for (const x of [a, b, f]) x.socket.close();
});

test('order within a channel is the order of publishing, the same for all', async () => {
  const channel = unique('order');
  const subscribers = await Promise.all(Array.from({ length: 8 }, () => connect({ channels: [channel] })));
  await present(channel, 8);
  const publisher = await connect({ channels: [channel] });
  await present(channel, 9);
  for (let i = 0; i < 500; i++) publisher.send({ type: 'publish', channel, payload: i });
  for (const s of subscribers) {
    await s.next(500);
    assert.deepEqual(s.messages.map((m) => m.payload), Array.from({ length: 500 }, (_, i) => i));
  }
  for (const s of [...subscribers, publisher]) s.socket.close();
});

test('presence has one entry per connection, with its identity', async () => {
  const channel = unique('who/日本');
  const a = await connect({ channels: [channel], identity: 'ada' });
  const b = await connect({ channels: [channel], identity: 'ada' });
  const c = await connect({ channels: [channel] });
  await present(channel, 3);
  const members = await realtime.presence(channel);
  assert.equal(new Set(members.map((m) => m.id)).size, 3);
  assert.deepEqual(members.map((m) => m.identity ?? null).sort(), ['ada', 'ada', null].sort());
  b.socket.terminate();
  await present(channel, 2);
  for (const x of [a, c]) x.socket.close();
  await present(channel, 0);
});

test('a bad, forged or expired token never opens', async () => {
  const channel = unique('x');
  const good = await realtime.mintToken({ channels: [channel] });
  const tampered = good.token.slice(0, -4) + (good.token.endsWith('AAAA') ? 'BBBB' : 'AAAA');
  for (const token of ['', 'nonsense', tampered, `${good.token}x`]) {
    await assert.rejects(connect({ token, url: good.url }), (e) => e.status === 401, token.slice(0, 30));
  }
  const short = await realtime.mintToken({ channels: [channel], ttl: 1 });
  await eventually(
    () => connect(short).then((c) => (c.socket.terminate(), false), (e) => e.status === 401),
    'the token to expire');
});

test('a connection is closed with 4401 when its token expires', async () => {
  const c = await connect({ channels: [unique('short')], ttl: 2 });
  assert.equal((await c.end()).code, 4401);
});

test('projects do not share channels', async () => {
  const channel = unique('same-name');
  const mine = await connect({ channels: [channel] });
  await present(channel, 1);
  assert.equal(await otherProject().realtime.publish(channel, 'theirs'), 0);
  assert.deepEqual(await otherProject().realtime.presence(channel), []);
  assert.equal(mine.messages.length, 0);
  mine.socket.close();
});

test('ping is answered, close is answered', async () => {
  const c = await connect({ channels: [unique('ping')] });
  const pong = new Promise((resolve) => c.socket.once('pong', resolve));
  c.socket.ping('are you there');
  assert.equal((await pong).toString(), 'are you there');
  c.socket.close(1000, 'bye');
  assert.equal((await c.end()).code, 1000);
});

test('a message above the limit closes with 1009', async () => {
  const channel = unique('big');
  const c = await connect({ channels: [channel] });
  c.send({ type: 'publish', channel, payload: 'x'.repeat(2_000_000) });
  assert.equal((await c.end()).code, 1009);
});

test('bad requests are 400 with a code', async () => {
  const publish = await http('POST', '/api/v1/realtime/publish', { body: { payload: 1 } });
  assert.equal(publish.status, 400);
  assert.equal(publish.json.error, 'channel is required');
  await rejects(realtime.mintToken({ channels: Array.from({ length: 1000 }, (_, i) => `c${i}`) }), 400, 'too_many_channels');
  await rejects(realtime.mintToken({ channels: ['x'.repeat(10_000)] }), 400);
  await rejects(realtime.publish('x'.repeat(10_000), 1), 400);
  for (const body of [{}, { channels: 'room' }, { channels: [1] }, { channels: [''] }, { channels: ['a'], ttl: -5 }, { channels: ['a'], identity: 7 }]) {
    const r = await http('POST', '/api/v1/realtime/token', { body });
    assert.equal(r.status, 400, `${JSON.stringify(body)} ${r.text}`);
  }
});
