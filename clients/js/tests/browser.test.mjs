// The client in headless Chromium, as modules over HTTP without a bundler: the platform that browsers get, their WebSocket, their WebCrypto.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serverKeys, startBackend } from './backend.mjs';

const here = join(dirname(fileURLToPath(import.meta.url)), '..');
const chromium = process.env.CHROMIUM ?? 'chromium';

// What a bundler, or the package manager of browsers, makes of package.json.
const importMap = JSON.stringify({
  imports: {
    '#platform': '/dist/esm/platform_web.js',
    ...Object.fromEntries(['curves', 'ciphers', 'hashes'].map((name) => [`@noble/${name}/`, `/node_modules/@noble/${name}/esm/`])),
  },
});

// Runs in the page. Gives what it found; the test compares.
async function inPage({ url, keys }) {
  const { raymesh } = await import('/dist/esm/index.js');
  const found = {};
  for (const ciphers of [undefined, ['chacha20-poly1305']]) {
    const client = raymesh({
      url, apiKey: 'test-key', timeoutMs: 60_000, ...(ciphers && { ciphers }),
      serverKeys: keys.map(({ id, publicKey }) => ({ id, publicKey: Uint8Array.from(publicKey) })),
    });
    const events = client.realtime.subscribe('news');
    await events.ready;
    const { cipher, sessionId } = client.raystream;
    const answers = [];
    for (let at = 0; at < 17_000; at += 500) answers.push(...(await Promise.all(Array.from({ length: 500 }, (_, i) => client.call('raystream.echo', at + i)))));
    const bytes = Uint8Array.from({ length: 3 * 1048576 + 5 }, (_, i) => i * 11);
    const back = await client.call('raystream.echo', bytes);
    // The backend drops the connection and publishes.
    const dropped = await client.call('drop', {}).catch((error) => error.code);
    const { value } = await events.next();
    found[cipher] = {
      answers: answers.every((answer, i) => answer === i),
      bytes: back.length === bytes.length && back.every((byte, i) => byte === bytes[i]),
      dropped,
      event: value.data,
      resumed: client.raystream.sessionId === sessionId,
      wrong: await client.call('nothing').catch((error) => [error.name, error.status, error.errorCode]),
    };
    await client.close();
  }
  return found;
}

test('in Chromium: calls, a change of keys, several MiB, events, a resumption; by WebCrypto and by @noble', async () => {
  const backend = await startBackend('ws', {
    methods: {
      drop: () => new Promise(() => {
        backend.cut();
        backend.channels.publish('news', JSON.stringify({ n: 1 }));
      }),
    },
  });
  let report;
  const reported = new Promise((resolve) => (report = resolve));
  const types = { js: 'text/javascript', json: 'application/json' };
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        response.end();
        report(JSON.parse(body));
      });
      return;
    }
    const path = new URL(request.url, 'http://x').pathname;
    if (path === '/') {
      const input = JSON.stringify({ url: backend.url, keys: serverKeys.map(({ id, publicKey }) => ({ id, publicKey: [...publicKey] })) });
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><script type="importmap">${importMap}</script><script type="module">
        const send = (report) => fetch('/', { method: 'POST', body: JSON.stringify(report) });
        (${inPage})(${input}).then((found) => send({ found }), (error) => send({ error: String(error?.stack ?? error) }));
      </script>`);
      return;
    }
    const file = join(here, normalize(path));
    for (const name of [file, `${file}.js`]) {
      try {
        const content = readFileSync(name);
        response.setHeader('content-type', types[name.split('.').at(-1)] ?? 'text/plain');
        return void response.end(content);
      } catch {}
    }
    response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const profile = mkdtempSync(join(tmpdir(), 'raymesh-chromium-'));
  const browser = spawn(chromium, [
    // Without its sandbox, which needs rights that containers do not give; it opens nothing but this page.
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
    ...[`--user-data-dir=${profile}`, `http://127.0.0.1:${server.address().port}/`],
  ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let said = '';
  browser.stderr.on('data', (chunk) => (said = (said + chunk).slice(-4000)));
  const gone = new Promise((resolve) => browser.once('exit', resolve));
  const failed = new Promise((_, reject) => {
    browser.once('error', (error) => reject(new Error(`${chromium} cannot be started: ${error.message}`)));
    browser.once('exit', (code) => reject(new Error(`${chromium} ended with ${code}: ${said}`)));
  });
  failed.catch(() => {});
  try {
    const { found, error } = await Promise.race([reported, failed]);
    assert.equal(error, undefined);
    const expected = { answers: true, bytes: true, dropped: 'outcome_unknown', event: { n: 1 }, resumed: true, wrong: ['DontCodeError', 404, 'NOT_FOUND'] };
    assert.deepEqual(found, { 'aes-256-gcm': expected, 'chacha20-poly1305': expected });
  } finally {
    if (browser.exitCode === null && browser.pid) {
      browser.kill();
      await gone;
    }
    // Its helpers may still be writing to the profile.
    try {
      if (browser.pid) process.kill(-browser.pid, 'SIGKILL');
    } catch {} // they have all ended
    server.closeAllConnections?.();
    server.close();
    await backend.stop();
    rmSync(profile, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  }
});
