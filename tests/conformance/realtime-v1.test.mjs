// docs/protocols/realtime.md beyond the default frames: raymesh.realtime.v1 and streams, through real sockets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { eventually, http, realtimeUrl, sdk, unique } from './client.mjs';

const { realtime } = sdk();

async function mint(body) {
  const { status, json } = await http('POST', '/api/v1/realtime/token', { body });
  assert.equal(status, 200, JSON.stringify(json));
  return json;
}

/** An open v1 socket: ask() sends a command with an id and waits for its answer. */
async function connect(body) {
  const conn = await mint(body);
  const socket = new WebSocket(`${realtimeUrl(conn.url)}?token=${encodeURIComponent(conn.token)}`, 'raymesh.realtime.v1');
  const client = { socket, events: [], closed: null };
  socket.on('message', (data) => client.events.push(JSON.parse(data.toString())));
  socket.on('close', (code, reason) => (client.closed = { code, reason: reason.toString() }));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  assert.equal(socket.protocol, 'raymesh.realtime.v1');
  let id = 0;
  client.ask = async (command) => {
    const mine = ++id;
    socket.send(JSON.stringify({ ...command, id: mine }));
    return eventually(() => client.events.find((e) => e.id === mine), `the answer to ${command.type}`);
  };
  client.messages = () => client.events.flatMap((e) => (e.type === 'message' ? [{ offset: e.offset, payload: e.payload }] : e.type === 'messages' ? e.payloads.map((payload, i) => ({ offset: e.offset + i, payload })) : []));
  client.got = (n) => eventually(() => client.messages().length >= n && client.messages(), `${n} messages, have ${client.messages().length}`);
  return client;
}

test('a subscriber that comes back gets exactly what it missed, on any node', async () => {
  const channel = unique('hist:');
  const a = await connect({ channels: [channel] });
  const { epoch, offset } = await a.ask({ type: 'subscribe', channel });
  assert.equal(offset, 0);
  for (let i = 1; i <= 5; i++) assert.equal(await realtime.publish(channel, i), 1);
  assert.deepEqual(await a.got(5), [1, 2, 3, 4, 5].map((i) => ({ offset: i, payload: i })));
  a.socket.terminate();
  for (let i = 6; i <= 9; i++) await realtime.publish(channel, i);
  const b = await connect({ channels: [channel] });
  const back = await b.ask({ type: 'subscribe', channel, position: { epoch, offset: 4 } });
  assert.equal(back.recovered, true);
  assert.deepEqual(await b.got(5), [5, 6, 7, 8, 9].map((i) => ({ offset: i, payload: i })));
  const lost = await b.ask({ type: 'history', channel, position: { epoch, offset: 7 } });
  assert.deepEqual(lost.messages.map((m) => m.payload), [8, 9]);
  const page = await http('GET', `/api/v1/realtime/channels/${encodeURIComponent(channel)}/history?limit=2`);
  assert.deepEqual(page.json.messages, [{ offset: 1, payload: 1 }, { offset: 2, payload: 2 }]);
  for (const what of ['history', 'presence'])
    for (const limit of ['0', '-1', '10001', 'x', '1x', '99999999999999999999']) {
      const refused = await http('GET', `/api/v1/realtime/channels/${encodeURIComponent(channel)}/${what}?limit=${limit}`);
      assert.deepEqual([refused.status, refused.json.code], [400, 'invalid_request'], limit);
      assert.match(refused.json.error, new RegExp(`'${limit}'.*from 1 to`));
    }
  const c = await connect({ channels: [channel] });
  assert.equal((await c.ask({ type: 'subscribe', channel, position: { epoch: '0'.repeat(15) + '1', offset: 4 } })).recovered, false);
  for (const x of [b, c]) x.socket.close();
});

test('publishers are acknowledged with the place of their message, and everybody sees one order', async () => {
  const channel = unique('room');
  const clients = await Promise.all([1, 2, 3].map(() => connect({ channels: [channel] })));
  for (const c of clients) await c.ask({ type: 'subscribe', channel });
  const acks = await Promise.all(clients.flatMap((c, i) => Array.from({ length: 20 }, (_, n) => c.ask({ type: 'publish', channel, payload: `${i}-${n}` }))));
  assert.deepEqual(acks.map((a) => a.offset).sort((x, y) => x - y), Array.from({ length: 60 }, (_, i) => i + 1));
  assert.ok(acks.every((a) => a.delivered === 3));
  const seen = await clients[0].got(60);
  assert.deepEqual(seen.map((m) => m.offset), Array.from({ length: 60 }, (_, i) => i + 1));
  for (const c of clients) {
    assert.deepEqual(await c.got(60), seen);
    c.socket.close();
  }
});

test('join and leave events, and presence in pages', async () => {
  const channel = unique('room');
  const watcher = await connect({ channels: [channel], identity: 'watcher' });
  await watcher.ask({ type: 'subscribe', channel, presence: true });
  const ada = await connect({ channels: [channel], identity: 'ada' });
  await ada.ask({ type: 'subscribe', channel, data: { mood: 'fine' } });
  const join = await eventually(() => watcher.events.find((e) => e.type === 'join' && e.member.identity === 'ada'), 'ada to join');
  assert.deepEqual(join.member.data, { mood: 'fine' });
  const all = await watcher.ask({ type: 'presence', channel });
  assert.equal(all.count, 2);
  assert.equal(all.identities, 2);
  assert.deepEqual(all.members.map((m) => m.identity).sort(), ['ada', 'watcher']);
  assert.equal((await http('GET', `/api/v1/realtime/channels/${channel}/presence`)).json.count, 2);
  ada.socket.close();
  const leave = await eventually(() => watcher.events.find((e) => e.type === 'leave'), 'ada to leave');
  assert.equal(leave.member.id, join.member.id);
  watcher.socket.close();
});

test('grants: patterns and single permissions', async () => {
  const room = unique('room:');
  const a = await connect({ grants: [{ channel: 'room:*', allow: ['subscribe'] }, { channel: 'log', allow: ['publish'] }] });
  assert.equal((await a.ask({ type: 'subscribe', channel: room })).type, 'subscribed');
  assert.equal((await a.ask({ type: 'publish', channel: room, payload: 1 })).code, 'permission_denied');
  assert.equal((await a.ask({ type: 'publish', channel: 'log', payload: 1 })).type, 'published');
  assert.equal((await a.ask({ type: 'subscribe', channel: 'log' })).code, 'permission_denied');
  a.socket.close();
  for (const grants of [7, [{ channel: 'x' }], [{ channel: 'x', allow: ['fly'] }], [{ channel: 'x', allow: [] }], ['x']])
    assert.equal((await http('POST', '/api/v1/realtime/token', { body: { grants } })).status, 400, JSON.stringify(grants));
});

test('revoking closes the sockets at once and keeps them out', async () => {
  const channel = unique('room');
  const identity = unique('mallory');
  const conn = await mint({ channels: [channel], identity });
  const a = await connect({ channels: [channel], identity });
  const b = await connect({ channels: [channel], identity: unique('ada') });
  const { status, json } = await http('POST', '/api/v1/realtime/revoke', { body: { identity } });
  assert.equal(status, 200);
  assert.equal(json.closed, 1);
  assert.equal(json.unreached, 0);
  assert.equal((await eventually(() => a.closed, 'the close')).code, 4503);
  const again = new WebSocket(`${realtimeUrl(conn.url)}?token=${conn.token}`);
  const refused = await new Promise((resolve) => again.once('unexpected-response', (_req, res) => resolve(res.statusCode)).once('error', () => {}));
  assert.equal(refused, 401);
  assert.equal(b.closed, null);
  assert.equal((await http('POST', '/api/v1/realtime/revoke', { body: {} })).status, 400);
  assert.equal((await http('POST', '/api/v1/realtime/revoke', { body: { identity, jti: 'x' } })).status, 400);
  b.socket.close();
});

test('an event stream is recovered by its last event id', async () => {
  const channel = unique('hist:');
  const conn = await mint({ channels: [channel] });
  const stream = async (headers) => {
    const abort = new AbortController();
    const response = await fetch(`${realtimeUrl(conn.url).replace(/^ws/, 'http')}/sse?token=${conn.token}`, { headers, signal: abort.signal });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const s = { text: '', end: () => abort.abort() };
    (async () => {
      for await (const piece of response.body) s.text += Buffer.from(piece).toString();
    })().catch(() => {});
    s.until = (part) => eventually(() => s.text.includes(part) && s.text, `${part} in ${s.text}`);
    return s;
  };
  const a = await stream({});
  await a.until('"type":"subscribed"');
  await realtime.publish(channel, 'one');
  const id = /id: (\S+)\ndata: [^\n]*"one"/.exec(await a.until('"one"'))[1];
  a.end();
  await eventually(async () => (await realtime.presence(channel)).length === 0, 'the stream to end');
  await realtime.publish(channel, 'two');
  const b = await stream({ 'Last-Event-ID': id });
  const text = await b.until('"two"');
  assert.ok(text.includes('"recovered":true'));
  assert.ok(!text.includes('"one"'));
  b.end();
});
