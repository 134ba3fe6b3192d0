// The surface: which methods it calls with what, and what it makes of the answers; and the package as it is published.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CallFailed, json, serverKeys, startBackend, WebSocket } from './backend.mjs';
import { isRaymeshError, RaymeshError, raymesh, readSessionToken, serializeSessionCookie } from '../dist/esm/index.js';
import { platform as nodePlatform } from '../dist/esm/platform_node.js';
import { platform as webPlatform } from '../dist/esm/platform_web.js';

const kv = new Map();
let backend;
let client;

// Answers as docs/http-api.md has them.
const rows = [{ id: 1, name: 'Ada' }];
const query = (data) => json(() => ({ data }));
const missing = () => { throw new CallFailed(3, 404, 'not_found', 'there is no such key'); };
const methods = {
  info: json(() => ({ project: { id: 'p', name: null }, credential: { type: 'api_key', role: null, user_id: null }, capabilities: { db: true } })),
  'auth.signup': json(({ email }) => ({ success: true, userId: email, verified: true })),
  'auth.login': json(({ email, password }) => {
    if (password !== 'right') throw new CallFailed(1, 401, 'InvalidCredentials', 'Invalid email or password');
    return { success: true, userId: email, tokens: { AccessToken: 'a.b.c', ExpiresIn: 604800 } };
  }),
  'db.find': query(rows), 'db.findMany': query(rows), 'db.findFirst': query(rows[0]), 'db.findOne': query(null), 'db.count': query(7),
  'db.insert': query({ id: 5 }), 'db.update': query({ count: 2 }), 'db.delete': query({ count: 1 }),
  'db.migrate': json(() => ({ success: true, executedStatements: 1, warnings: [] })),
  'cache.get': json((_, { metadata }) => (kv.has(metadata.path) ? { value: kv.get(metadata.path) } : missing())),
  'cache.set': json((value, { metadata }) => { kv.set(metadata.path, value); return { set: metadata.query !== 'ttl=60&nx=true' }; }),
  'cache.delete': json((_, { metadata }) => ({ deleted: kv.delete(metadata.path) })),
  'cache.expire': json(({ ttl }) => ({ applied: ttl === null })),
  'cache.hset': json(({ fields }) => ({ written: Object.keys(fields).length })),
  'cache.hgetall': json(missing),
  'cache.sadd': json(({ members }) => ({ added: members.length })),
  'cache.srem': json(({ members }) => ({ removed: members.length })),
  'cache.smembers': json(missing),
  'realtime.token': json(({ channels, identity }) => ({ token: `${channels}/${identity}`, url: 'ws://x' })),
  'realtime.publish': json(({ channel, payload }) => { backend.channels.publish(channel, JSON.stringify(payload)); return { delivered: 3 }; }),
  'realtime.presence': json((_, { metadata }) => ({ presence: [{ id: metadata.path }] })),
};

before(async () => {
  // VerifyTokenReply: 1 bool, 2 to 5 text.
  const field = (number, value) => Buffer.concat([Buffer.of(number * 8 + 2, value.length), Buffer.from(value)]);
  const reply = Buffer.concat([Buffer.of(8, 1), field(2, 'u1'), field(3, 'a@b'), field(4, 'editor'), field(5, '{"x":1}')]);
  methods['auth.me'] = async (args) => (args.subarray(2).toString().includes('good') ? reply : Buffer.alloc(0));
  backend = await startBackend('tcp', { methods });
  client = raymesh({ url: backend.url, apiKey: 'test-key', serverKeys });
});
after(async () => {
  await client.close();
  await backend.stop();
});

test('db: tables by name or call, every operation, migrations', async () => {
  assert.deepEqual(await client.db.users.find({ where: { name: 'Ada' }, limit: 3 }), rows);
  const { name, args, metadata } = backend.calls.at(-1);
  assert.equal(name, 'db.find');
  assert.deepEqual(JSON.parse(args), { tableName: 'users', options: { where: { name: 'Ada' }, limit: 3 } });
  assert.equal(metadata['content-type'], 'application/json');
  assert.deepEqual(await client.db('odd name').findMany(), rows);
  assert.equal(JSON.parse(backend.calls.at(-1).args).tableName, 'odd name');
  assert.deepEqual(await client.db.users.findFirst(), rows[0]);
  assert.equal(await client.db.users.findOne(), null);
  assert.equal(await client.db.users.count(), 7);
  assert.deepEqual(await client.db.users.insert({ name: 'Grace' }, { idempotencyKey: 'once' }), { id: 5 });
  assert.equal(backend.calls.at(-1).metadata['idempotency-key'], 'once');
  assert.deepEqual(JSON.parse(backend.calls.at(-1).args).options, { data: { name: 'Grace' } });
  assert.deepEqual(await client.db.users.update({ where: { id: 1 }, data: { name: 'x' } }), { count: 2 });
  assert.deepEqual(await client.db.users.delete({ where: { id: 1 } }), { count: 1 });
  assert.deepEqual(await client.db.migrate({ sql: 'create table t ()' }), { success: true, executedStatements: 1, warnings: [] });
  // A promise of it is not made by mistake.
  assert.equal(await Promise.resolve(client.db) === client.db, true);
});

test('cache: keys in the path, misses are null', async () => {
  const key = 'a/b c';
  assert.equal(await client.cache.get(key), null);
  assert.equal(await client.cache.set(key, { n: 1 }, { ttl: 60 }), true);
  assert.deepEqual([...kv.keys()], ['a%2Fb%20c']);
  assert.deepEqual(await client.cache.get(key), { n: 1 });
  assert.equal(await client.cache.set(key, null, { ttl: 60, nx: true }), false);
  assert.equal(await client.cache.expire(key, null), true);
  assert.equal(await client.cache.del(key), true);
  assert.equal(await client.cache.hset(key, { a: 1, b: 2 }), 2);
  assert.equal(await client.cache.hgetAll(key), null);
  assert.equal(await client.cache.sAdd(key, 'x', 'y'), 2);
  assert.deepEqual(await client.cache.sMembers(key), []);
  assert.equal(await client.cache.sRem(key, 'x'), 1);
});

test('auth: accounts, users of tokens, sessions of cookies', async () => {
  assert.equal((await client.auth.signup({ email: 'a@b', password: 'p' })).userId, 'a@b');
  assert.equal((await client.auth.login({ email: 'a@b', password: 'right' })).tokens.ExpiresIn, 604800);
  const wrong = await client.auth.login({ email: 'a@b', password: 'wrong' }).catch((error) => error);
  assert.ok(wrong instanceof RaymeshError && isRaymeshError(wrong));
  assert.deepEqual([wrong.name, wrong.status, wrong.code, wrong.message, wrong.rateLimited], ['DontCodeError', 401, 'InvalidCredentials', 'Invalid email or password', false]);
  assert.deepEqual(wrong.body, { error: 'Invalid email or password', code: 'InvalidCredentials' });
  assert.deepEqual(await client.auth.me({ accessToken: 'good' }), { user: { id: 'u1', email: 'a@b', role: 'editor', claims: { x: 1 } } });
  assert.deepEqual(await client.auth.me({ accessToken: 'bad' }), { user: null });
  assert.deepEqual(await client.auth.me({ accessToken: '' }), { user: null });
  assert.equal((await client.auth.info()).project.id, 'p');

  const tokenOf = (claims) => `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.good`;
  const exp = Math.floor(Date.now() / 1000) + 60;
  const token = tokenOf({ sub: 'u1', email: 'ä@b', exp });
  assert.deepEqual(await client.auth.getSession({ accessToken: token }), { status: 'active', user: { id: 'u1', email: 'ä@b' }, verified: false, expiresAt: exp });
  const calls = backend.calls.length;
  const verified = await client.auth.getSession({ accessToken: token, mode: 'verified' });
  assert.deepEqual([verified.verified, verified.user.role], [true, 'editor']);
  await client.auth.getSession({ accessToken: token, mode: 'verified' });
  assert.equal(backend.calls.length, calls + 1);
  assert.equal((await client.auth.getSession({ accessToken: tokenOf({ sub: 'u', exp: 5 }) })).status, 'expired');
  assert.equal((await client.auth.getSession({ accessToken: 'nonsense' })).status, 'anonymous');
  const cookie = serializeSessionCookie(token).split(';')[0];
  assert.equal(readSessionToken(`a=b; ${cookie}`), token);
  assert.equal((await client.auth.sessionFromCookies(`a=b; ${cookie}`)).status, 'active');
  assert.equal((await client.auth.sessionFromCookies(undefined)).status, 'anonymous');
});

test('realtime: tokens, publishing, presence, and a subscription over the session', async () => {
  assert.deepEqual(await client.realtime.mintToken({ channels: ['c'], identity: 'ada' }), { token: 'c/ada', url: 'ws://x' });
  const events = client.realtime.subscribe('room:1');
  await events.ready;
  assert.equal(await client.realtime.publish('room:1', { text: 'hello' }), 3);
  for await (const event of events) {
    assert.deepEqual(event.data, { text: 'hello' });
    break;
  }
  assert.deepEqual(await client.realtime.presence('room:1'), [{ id: 'room%3A1' }]);
});

test('the servers\' keys are read from the gateway on loopback, and nowhere else without HTTPS', async () => {
  const ws = await startBackend('ws', { methods });
  const publicKey = Buffer.from(serverKeys[0].publicKey).toString('base64url');
  const old = Buffer.alloc(32, 9).toString('base64url');
  let asked = 0;
  const front = createServer((request, response) => {
    if (request.headers.authorization !== 'Bearer test-key') response.writeHead(401);
    response.end(request.url === '/api/v1/raystream/key' ? JSON.stringify({ keys: [{ id: 'test', algorithm: 'ed25519', publicKey: ++asked === 1 ? old : publicKey }] }) : '{}');
  });
  // The same port for HTTP and for the WebSocket, as the gateway has it.
  front.on('upgrade', () => {});
  await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
  const { port } = front.address();
  class Redirected extends WebSocket {
    constructor(url) {
      assert.equal(url, `ws://127.0.0.1:${port}/raystream`);
      super(`${ws.url}/raystream`);
    }
  }
  const learning = raymesh({ baseUrl: `http://127.0.0.1:${port}`, apiKey: 'test-key', webSocket: Redirected });
  try {
    // Keys that were changed since are read again, once.
    assert.equal(await learning.db.users.count(), 7);
    assert.equal(asked, 2);
    await assert.rejects(raymesh({ url: 'http://gateway.example', apiKey: 'k' }).db.users.count(), { code: 'server_keys_needed' });
    await assert.rejects(raymesh({ url: 'tcp://127.0.0.1:1', apiKey: 'k' }).db.users.count(), { code: 'server_keys_needed' });
  } finally {
    await learning.close();
    front.close();
    await ws.stop();
  }
});

test('both platforms\' primitives agree', async () => {
  const bytes = (n, start) => Uint8Array.from({ length: n }, (_, i) => (i + start) & 255);
  const hex = (b) => Buffer.from(b).toString('hex');
  for (const size of [0, 1, 55, 64, 1000]) {
    assert.equal(hex(webPlatform.sha256(bytes(size, 3), bytes(2, 9))), hex(nodePlatform.sha256(bytes(size, 3), bytes(2, 9))));
    assert.equal(hex(webPlatform.hmac(bytes(32, 1), bytes(size, 3))), hex(nodePlatform.hmac(bytes(32, 1), bytes(size, 3))));
    for (const cipher of ['chacha20-poly1305', 'aes-256-gcm']) {
      const [web, node] = [webPlatform.aead(cipher, bytes(32, 7)), nodePlatform.aead(cipher, bytes(32, 7))];
      const sealed = await web.seal(bytes(12, 1), bytes(16, 2), bytes(size, 3));
      assert.equal(hex(sealed), hex(await node.seal(bytes(12, 1), bytes(16, 2), bytes(size, 3))));
      assert.equal(hex(await node.open(bytes(12, 1), bytes(16, 2), sealed)), hex(bytes(size, 3)));
      assert.equal(hex(await web.open(bytes(12, 1), bytes(16, 2), sealed)), hex(bytes(size, 3)));
      for (const aead of [web, node]) assert.equal(await aead.open(bytes(12, 1), bytes(16, 3), sealed), null);
    }
  }
  const [a, b] = [webPlatform.newKeyPair(), nodePlatform.newKeyPair()];
  assert.equal(hex(webPlatform.shared(a.secret, b.public)), hex(nodePlatform.shared(b.secret, a.public)));
  for (const platform of [webPlatform, nodePlatform]) {
    assert.equal(platform.shared(a.secret, new Uint8Array(32)), null);
    // RFC 8032 section 7.1, test 1: the signature of the empty text.
    const publicKey = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex');
    const signature = Buffer.from('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b', 'hex');
    assert.equal(platform.verify(publicKey, new Uint8Array(), signature), true);
    assert.equal(platform.verify(publicKey, Uint8Array.of(1), signature), false);
    assert.equal(platform.verify(publicKey, new Uint8Array(), new Uint8Array(3)), false);
  }
});

// What npm would publish, unpacked into a folder of its own beside its dependencies.
test('the package: import, require, types, and only what belongs into it', () => {
  const here = join(dirname(fileURLToPath(import.meta.url)), '..');
  const run = (command, args, cwd) => {
    const done = spawnSync(command, args, { cwd, encoding: 'utf8' });
    assert.equal(done.status, 0, `${command} ${args}: ${done.stdout}${done.stderr}`);
    return done.stdout;
  };
  const folder = mkdtempSync(join(tmpdir(), 'raymesh-client-'));
  try {
    const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], here));
    for (const { path } of files) assert.match(path, /^(dist\/(esm|cjs)\/.*\.(js|d\.ts)|dist\/(esm|cjs)\/package\.json|package\.json|README\.md)$/);
    run('mkdir', ['-p', 'node_modules/@raymesh/client'], folder);
    run('tar', ['-xzf', filename, '--strip-components=1', '-C', 'node_modules/@raymesh/client'], folder);
    run('ln', ['-s', join(here, 'node_modules', '@noble'), 'node_modules/@noble'], folder);
    const use = "const client = raymesh({ url: 'tcp://127.0.0.1:1', apiKey: 'k', serverKeys: [{ id: 'a', publicKey: new Uint8Array(32) }] }); console.log(typeof client.db.users.find);";
    writeFileSync(join(folder, 'a.mjs'), `import { raymesh } from '@raymesh/client'; ${use}`);
    writeFileSync(join(folder, 'b.cjs'), `const { raymesh } = require('@raymesh/client'); ${use}`);
    writeFileSync(join(folder, 'd.ts'), `import { raymesh, type RaymeshError } from '@raymesh/client';
      export async function f(): Promise<number> { const client = raymesh({ url: 'x', apiKey: 'k' });
      const rows: { id: number }[] = await client.db['users']!.find<{ id: number }>({ limit: 1 }); const e: RaymeshError | undefined = undefined; void e; return rows.length; }`);
    writeFileSync(join(folder, 'package.json'), '{"type": "commonjs"}');
    assert.equal(run(process.execPath, ['a.mjs'], folder), 'function\n');
    assert.equal(run(process.execPath, ['b.cjs'], folder), 'function\n');
    copyFileSync(join(folder, 'd.ts'), join(folder, 'd.mts'));
    for (const [module, file] of [['nodenext', 'd.mts'], ['node16', 'd.ts']])
      run(process.execPath, [createRequire(import.meta.url).resolve('typescript/bin/tsc'), '--noEmit', '--strict', '--target', 'es2022', '--module', module, file], folder);
    // In a browser nothing of Node is there: only platform_node, which is chosen in Node alone, asks for it.
    for (const { path } of files.filter((f) => f.path.endsWith('.js') && !f.path.endsWith('platform_node.js')))
      assert.doesNotMatch(readFileSync(join(here, path), 'utf8'), /['"]node:|\bBuffer\.[a-z]+\(|require\("(?!\.|@noble|#platform)/, path);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
