// Strangers on every port: garbage, half-open sockets, slow readers, ten thousand connections.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';

let cluster;
before(async () => (cluster = await startCluster('separate')));
after(async () => assert.deepEqual(await cluster.stop(), []));

const port = (url) => Number(new URL(url.includes('://') ? url : `tcp://${url}`).port);

const alive = async () => {
  const info = await fetch(`${cluster.url}/api/v1/info`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
  assert.equal(info.status, 200);
  for (const [name, url] of Object.entries(cluster.ops)) assert.equal((await fetch(`${url}/healthz`)).status, 200, name);
};

/** Sends bytes and waits for the end of the connection, or a while; gives what came back. */
function poke(toPort, bytes, ms = 3000) {
  return new Promise((resolve) => {
    const socket = net.connect(toPort, '127.0.0.1');
    const got = [];
    const done = () => {
      socket.destroy();
      resolve(Buffer.concat(got));
    };
    socket.setTimeout(ms, done);
    socket.on('data', (d) => got.push(d));
    socket.on('error', done);
    socket.on('close', done);
    socket.write(bytes);
  });
}

test('garbage on every port harms nobody', async () => {
  const ports = [port(cluster.url), port(cluster.realtimeUrl), ...Object.values(cluster.grpc).map(port), ...Object.values(cluster.ops).map(port)];
  const samples = [
    randomBytes(4096),
    Buffer.alloc(70_000, 'A'),
    Buffer.from('GET / HTTP/9.9\r\n\r\n'),
    Buffer.from(`GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`),
    Buffer.from('POST /api/v1/db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    Buffer.from('POST /api/v1/db HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n'),
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    Buffer.from('\r\n\r\n\r\n'),
  ];
  await Promise.all(ports.flatMap((p) => samples.map((s) => poke(p, s, 1500))));
  await alive();
});

test('a client that sends its request one byte at a time is answered 408 or cut off, others are not held up', async () => {
  const socket = net.connect(port(cluster.url), '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (d) => (answer += d));
  const drip = setInterval(() => socket.writable && socket.write('X'), 500);
  socket.write('GET / HTTP/1.1\r\nX-Slow: ');
  await alive();
  await closed;
  clearInterval(drip);
  assert.match(answer, /^(HTTP\/1\.1 408|$)/);
});

async function mint(channels) {
  const r = await fetch(`${cluster.url}/api/v1/realtime/token`, {
    method: 'POST', body: JSON.stringify({ channels }),
    headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json' },
  });
  const { url, token } = await r.json();
  return `${url}?token=${token}`;
}

const open = (url) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.once('open', () => resolve(socket));
  socket.once('error', reject);
});

test('a subscriber that reads nothing is closed with 4408 and holds up nobody', async () => {
  const url = await mint(['flood']);
  const good = await open(url);
  let received = 0;
  good.on('message', () => received++);
  const slow = await open(url);
  slow._socket.pause();
  const publisher = await open(url);
  const payload = 'x'.repeat(16_000);
  const total = 3000;
  for (let i = 0; i < total; i++) {
    publisher.send(JSON.stringify({ type: 'publish', channel: 'flood', payload }));
    if (i % 50 === 49) await waitFor(() => received >= i - 100, 'the good reader to keep up');
  }
  await waitFor(() => received === total, `all messages, have ${received}`);
  const presence = await waitFor(async () => {
    const r = await fetch(`${cluster.url}/api/v1/realtime/channels/flood/presence`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
    const list = (await r.json()).presence;
    return list.length === 2 && list;
  }, 'the slow reader to be gone');
  assert.equal(presence.length, 2);
  slow.terminate();
  good.terminate();
  publisher.terminate();
});

test('10,000 WebSocket connections get their message', async () => {
  const url = await mint(['crowd']);
  const sockets = [];
  let received = 0;
  for (let i = 0; i < 10_000; i += 250)
    sockets.push(...await Promise.all(Array.from({ length: 250 }, async () => {
      const s = await open(url);
      s.on('message', () => received++);
      return s;
    })));
  const r = await fetch(`${cluster.url}/api/v1/realtime/publish`, {
    method: 'POST', body: JSON.stringify({ channel: 'crowd', payload: 1 }),
    headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json' },
  });
  assert.deepEqual(await r.json(), { delivered: 10_000 });
  await waitFor(() => received === 10_000, `everybody to get it, ${received} did`);
  for (const s of sockets) s.terminate();
  await alive();
});

test('half-open sockets on the gateway do not keep others out', async () => {
  const sockets = await Promise.all(Array.from({ length: 500 }, () => new Promise((resolve, reject) => {
    const s = net.connect(port(cluster.url), '127.0.0.1', () => resolve(s));
    s.on('error', reject);
  })));
  for (const s of sockets) s.write('POST /api/v1/db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"opera');
  await alive();
  for (const s of sockets) s.destroy();
});
