// The public ports of `raymesh dev`: which addresses they listen on, and whom they serve.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import WebSocket from 'ws';
import { bin, root } from '../support/paths.mjs';
import { run } from '../support/processes.mjs';
import { Dev, kAnyPorts, temporaryFolder } from './dev.mjs';

const folderIn = (t) => join(temporaryFolder(t), 'data');

/** Status and code for these headers; `host` is the Host header, which fetch would not let us choose. */
const knock = (dev, key, headers) => new Promise((resolve, reject) => {
  const { hostname, port } = new URL(dev.told.url);
  http.get({ hostname, port, path: '/api/v1/info', headers: { authorization: `Bearer ${key}`, ...headers } }, (response) => {
    let body = '';
    response.on('data', (d) => (body += d));
    response.on('end', () => resolve({ status: response.statusCode, code: JSON.parse(body).code, headers: response.headers }));
  }).on('error', reject);
});

const kForeign = [
  { origin: 'https://evil.example' },
  { origin: 'http://localhost.evil.example' },
  { origin: 'null' },
  { origin: 'http://127.0.0.1@evil.example' },
  { host: 'evil.example:4000' },  // its name may lead here (DNS rebinding)
  { host: 'localhost', origin: 'http://evil.example' },
  { host: 'evil.example', origin: 'http://localhost:3000' },
];
const kLocal = [
  {},
  { origin: 'http://localhost:3000' },
  { origin: 'http://app.localhost:3000', host: 'app.localhost' },
  { origin: 'https://127.0.0.1' },
  { origin: 'http://[::1]:3000', host: '[::1]:4000' },
];

test('the well-known key opens nothing to other origins and hosts, a key of one\'s own does', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  assert.equal(dev.told.api_key, 'dc_local_dev');
  for (const headers of kLocal) assert.equal((await knock(dev, 'dc_local_dev', headers)).status, 200, JSON.stringify(headers));
  for (const headers of kForeign) {
    const { status, code, headers: answer } = await knock(dev, 'dc_local_dev', headers);
    assert.deepEqual([status, code], [403, 'forbidden_origin'], JSON.stringify(headers));
    assert.equal(answer['access-control-allow-origin'], '*', 'a page can read why');
  }
  const own = JSON.parse(run(join(bin, 'raymesh'), ['key', 'create', '--project', 'dev', '--json', '--data-dir', folder], { env: { PATH: process.env.PATH } })).key;
  for (const headers of [...kLocal, ...kForeign]) assert.equal((await knock(dev, own, headers)).status, 200, JSON.stringify(headers));
  await dev.stop();
});

const hasIpv6 = () => new Promise((resolve) => {
  const server = net.createServer().once('error', () => resolve(false));
  server.listen(0, '::1', () => server.close(() => resolve(true)));
});

const refuses = (port, host) => new Promise((resolve) => {
  const socket = net.connect(port, host, () => resolve(socket.destroy() && false)).once('error', () => resolve(true));
});

/** Both public ports serve at `host`, which is how a URL writes it. */
async function serves(dev, host) {
  const at = (url) => `${new URL(url).protocol}//${host}:${new URL(url).port}`;
  const headers = { authorization: `Bearer ${dev.told.api_key}`, 'content-type': 'application/json', origin: `http://${host}:3000` };
  const post = async (path, body) => {
    const response = await fetch(`${at(dev.told.url)}/api/v1/realtime/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.equal(response.status, 200, host);
    return response.json();
  };
  const { token } = await post('token', { channels: ['c'] });
  const socket = new WebSocket(`${at(dev.told.realtime_url)}/?token=${token}`);
  const message = new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  assert.deepEqual(await post('publish', { channel: 'c', payload: host }), { delivered: 1 });
  assert.equal(JSON.parse(await message).payload, host);
  socket.terminate();
}

test('both public ports listen on ::1 too, where Node 18 looks for localhost first', async (t) => {
  const dev = await Dev.start(t, folderIn(t));
  for (const host of ['127.0.0.1', 'localhost', ...(await hasIpv6() ? ['[::1]'] : [])]) await serves(dev, host);
  await dev.stop();
});

for (const missing of ['family', 'address'])
  test(`without IPv6 (${missing}) it goes on with IPv4 alone`, async (t) => {
    const dev = new Dev(t, ['--data-dir', folderIn(t), '--json', ...kAnyPorts], { program: join(root, 'tests/support/without_ipv6.py'), before: [missing, join(bin, 'raymesh')] });
    await dev.ready();
    for (const url of [dev.told.url, dev.told.realtime_url]) assert.ok(await refuses(new URL(url).port, '::1'));
    await serves(dev, '127.0.0.1');
    await dev.stop();
  });

test('an address of its own is the only one', async (t) => {
  const dev = await Dev.start(t, folderIn(t), '--listen', '127.0.0.1');
  for (const url of [dev.told.url, dev.told.realtime_url]) assert.ok(await refuses(new URL(url).port, '::1'));
  await serves(dev, '127.0.0.1');
  await dev.stop();
});

test('a port that another program has on ::1 is refused: clients of localhost would reach that one', async (t) => {
  const other = net.createServer();
  t.after(() => other.close());
  const ipv6 = await hasIpv6();
  await new Promise((resolve) => other.listen(0, ipv6 ? '::1' : '127.0.0.1', resolve));
  const { port } = other.address();
  const { code, said } = await new Dev(t, ['--data-dir', folderIn(t), ...kAnyPorts.slice(2), '--port', port]).refusal();
  assert.equal(code, 1);
  assert.ok(said.includes(`cannot bind ${ipv6 ? '[::1]' : '127.0.0.1'}:${port}: Address already in use`), said);
});
