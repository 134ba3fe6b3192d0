// The public ports as they are run in production: several gateways with one limit, behind a proxy, with a certificate that is renewed.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import WebSocket from 'ws';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';

// A bucket that does not fill up again while a test runs: what is admitted is its capacity, however long that takes.
const kNoRefill = '0.01';

let cluster;
before(async () => (cluster = await startCluster('separate')));
after(async () => assert.deepEqual(await cluster.stop(), []));

/** GET /api/v1/info over a connection of an agent; `options` as http.request takes them. */
function info(port, key, options = {}) {
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port, path: '/api/v1/info', ...options, headers: { authorization: `Bearer ${key}`, ...options.headers } }, (response) => {
      let body = '';
      response.on('data', (d) => (body += d));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, json: JSON.parse(body) }));
    }).on('error', reject);
  });
}

/** `count` requests, some at a time; gives the answers. `ask` gets the request's number. */
async function flood(count, ask) {
  const answers = [];
  let next = 0;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next < count) answers.push(await ask(next++));
  }));
  return answers;
}

const admitted = (answers) => {
  for (const a of answers) assert.ok(a.status === 200 || a.status === 429, `${a.status} ${JSON.stringify(a.json)}`);
  return answers.filter((a) => a.status === 200).length;
};

function within10Percent(t, n, limit) {
  t.diagnostic(`${n} were admitted, the limit is ${Math.round(limit)}`);
  assert.ok(Math.abs(n - limit) <= limit / 10, `${n} were admitted, the limit is ${limit}`);
}

function isLimited(answer, which) {
  assert.equal(answer.status, 429);
  assert.equal(answer.json.code, 'rate_limited');
  assert.equal(answer.json.rate_limit, true);
  assert.match(answer.json.error, which);
  assert.ok(Number.isInteger(answer.json.timeleft) && answer.json.timeleft >= 1, JSON.stringify(answer.json));
  assert.equal(Number(answer.headers['retry-after']), answer.json.timeleft);
}

test('two gateways share one limit: together they admit what a key may have, within 10 %', async (t) => {
  const limit = 1000;
  const ports = [await cluster.add('gateway'), await cluster.add('gateway')].map((g) => g.port);
  const { key } = cluster.createKey('--requests-per-second', kNoRefill, '--burst', limit);
  const agent = new http.Agent({ keepAlive: true });
  const answers = await flood(3 * limit, (i) => info(ports[i % 2], key, { agent }));
  agent.destroy();
  within10Percent(t, admitted(answers), limit);
  isLimited(answers.find((a) => a.status === 429), /API key/);
});

test('a limit that fills up again admits what it says, within 10 %, over two gateways', async (t) => {
  const [rate, burst] = [200, 400];
  const ports = [await cluster.add('gateway'), await cluster.add('gateway')].map((g) => g.port);
  const { key } = cluster.createKey('--requests-per-second', rate, '--burst', burst);
  const agent = new http.Agent({ keepAlive: true });
  // Until the refill counts for more than the burst. How long that takes says what was allowed.
  const begun = performance.now();
  const allowed = () => burst + (rate * (performance.now() - begun)) / 1000;
  let good = 0;
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    while (allowed() < 3 * burst) {
      const n = admitted([await info(ports[i % 2], key, { agent })]);
      good += n;
    }
  }));
  within10Percent(t, good, allowed());
  agent.destroy();
});

/** As a proxy in production does: passes requests on and appends its client's address to X-Forwarded-For. */
async function startProxy(t, toPort) {
  const proxy = http.createServer((request, response) => {
    const before = request.headers['x-forwarded-for'];
    const headers = { ...request.headers, 'x-forwarded-for': `${before ? `${before}, ` : ''}${request.socket.remoteAddress}` };
    request.pipe(http.request({ host: '127.0.0.1', port: toPort, method: request.method, path: request.url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    }).on('error', () => response.destroy()));
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  return proxy.address().port;
}

const addressLimit = 50;
const addressLimits = ['--address-rate', kNoRefill, '--address-burst', addressLimit];
const forged = (i) => ({ headers: { 'x-forwarded-for': `198.51.100.${i % 250}` } });

test('behind one trusted proxy the client\'s address is counted, whatever the client claims', async (t) => {
  const gateway = await cluster.add('gateway', '--trusted-proxy-hops', '1', ...addressLimits);
  const proxy = await startProxy(t, gateway.port);
  const { key } = cluster.createKey();
  // All come from the proxy's address, so only the header can tell these two clients apart.
  for (const localAddress of ['127.0.0.1', '127.0.0.2'])
    within10Percent(t, admitted(await flood(3 * addressLimit, () => info(proxy, key, { localAddress }))), addressLimit);
  for (const localAddress of ['127.0.0.1', '127.0.0.2'])
    for (const answer of await flood(20, (i) => info(proxy, key, { localAddress, ...forged(i) }))) isLimited(answer, /client address/);
  assert.equal((await info(proxy, key, { localAddress: '127.0.0.3' })).status, 200);
  await waitFor(() => gateway.child.output.includes('"client":"127.0.0.3"'), 'the last request\'s log line');
  assert.ok(gateway.child.output.includes('"client":"127.0.0.2"'));
  assert.ok(!gateway.child.output.includes('198.51.100.'), 'an address that a client made up');
});

test('without a trusted proxy a forged header does not help', async (t) => {
  const gateway = await cluster.add('gateway', ...addressLimits);
  const { key } = cluster.createKey();
  within10Percent(t, admitted(await flood(3 * addressLimit, (i) => info(gateway.port, key, forged(i)))), addressLimit);
  assert.equal((await info(gateway.port, key, { localAddress: '127.0.0.2' })).status, 200);
});

/** Certificates for localhost, each new; install() puts one where the server reads it, as renewal tools do. */
class Renewed {
  constructor(name) {
    this.certificate = join(cluster.folder, `${name}.pem`);
    this.key = join(cluster.folder, `${name}-key.pem`);
    this.install(this.make(`${name}-first`));
  }

  get flags() {
    return ['--tls-cert', this.certificate, '--tls-key', this.key];
  }

  make(name) {
    const folder = join(cluster.folder, name);
    cluster.raymesh('certs', 'dev', '--out', folder);
    const certificate = join(folder, 'public.pem');
    return { certificate, key: join(folder, 'public-key.pem'), fingerprint: new X509Certificate(readFileSync(certificate)).fingerprint256 };
  }

  install(made) {
    this.#replace(this.certificate, made.certificate);
    this.#replace(this.key, made.key);
    this.fingerprint = made.fingerprint;
  }

  #replace(file, by) {
    copyFileSync(by, `${file}.new`);
    renameSync(`${file}.new`, file);
  }

  break() {
    writeFileSync(this.certificate, 'no certificate\n');
  }
}

const kTls = { host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false };

/** The certificate that a new connection is shown. */
const shown = (port) => new Promise((resolve, reject) => {
  const socket = tls.connect({ ...kTls, port }, () => {
    resolve(socket.getPeerCertificate().fingerprint256);
    socket.end();
  }).once('error', reject);
});

/** Replaces the certificate under `service`, then breaks it, then mends it; `works` uses a connection that was open before. */
async function renew(service, files, works) {
  const first = files.fingerprint;
  assert.equal(await shown(service.port), first);
  await works();

  files.install(files.make(`${service.name}-second`));
  const second = files.fingerprint;
  assert.notEqual(second, first);
  await waitFor(async () => await shown(service.port) === second, 'the new certificate');
  await works();

  files.break();
  await waitFor(async () => {
    assert.equal(await shown(service.port), second);
    return service.child.output.includes('the old certificate stays');
  }, 'the broken file to be noticed');
  assert.equal(await shown(service.port), second);
  await works();

  files.install(files.make(`${service.name}-third`));
  await waitFor(async () => await shown(service.port) === files.fingerprint, 'the mended certificate');
  await works();
}

test('the gateway takes a renewed certificate for new connections; old ones go on; a broken file changes nothing', async () => {
  const files = new Renewed('gateway-tls');
  const gateway = await cluster.add('gateway', ...files.flags);
  const socket = tls.connect({ ...kTls, port: gateway.port });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  let ended = false;
  let answers = '';
  socket.on('data', (d) => (answers += d)).on('close', () => (ended = true));
  let asked = 0;
  await renew(gateway, files, async () => {
    socket.write(`GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${cluster.apiKey}\r\n\r\n`);
    asked++;
    await waitFor(() => {
      if (ended) throw new Error('the connection has ended');
      return answers.split('HTTP/1.1 200').length - 1 === asked;
    }, 'an answer over the old connection');
  });
  socket.destroy();
  const { status } = await fetch(`${cluster.url}/api/v1/info`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
  assert.equal(status, 200, 'the plain gateway beside it');
});

test('realtime takes a renewed certificate for new connections; old sockets go on; a broken file changes nothing', async () => {
  const files = new Renewed('realtime-tls');
  const node = await cluster.add('realtime', ...files.flags);
  const minted = await fetch(`${cluster.url}/api/v1/realtime/token`, {
    method: 'POST', body: JSON.stringify({ channels: ['c'] }), headers: { authorization: `Bearer ${cluster.apiKey}` },
  });
  const { token } = await minted.json();
  const open = async () => {
    const socket = new WebSocket(`wss://127.0.0.1:${node.port}/?token=${token}`, { rejectUnauthorized: false, servername: 'localhost' });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return socket;
  };
  const old = await open();
  const got = [];
  old.on('message', (m) => got.push(JSON.parse(m).payload));
  let sent = 0;
  await renew(node, files, async () => {
    const fresh = await open();
    fresh.send(JSON.stringify({ type: 'publish', channel: 'c', payload: ++sent }));
    await waitFor(() => got.length === sent, 'the message on the old socket');
    fresh.terminate();
  });
  assert.deepEqual(got, [1, 2, 3, 4]);
  old.terminate();
});
