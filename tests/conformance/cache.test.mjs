// semantics A6 through the SDK and by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, http, otherProject, rejects, sdk, unique } from './client.mjs';

const { cache } = sdk();

test('every JSON value comes back as it went in', async () => {
  const values = [null, true, false, 0, -1.5, 1e21, 9007199254740991, '', 'text', 'ünïcode 日本 🙂 \u0001 "\\', [], [1, [2, null]], {}, { a: { b: ['c'] } }];
  for (const value of values) {
    const key = unique('v');
    assert.equal(await cache.set(key, value), true);
    assert.deepEqual(await cache.get(key), value);
  }
});

test('a miss is null, deleting says whether the key was there', async () => {
  const key = unique('k');
  assert.equal(await cache.get(key), null);
  assert.equal(await cache.del(key), false);
  await cache.set(key, 1);
  assert.equal(await cache.del(key), true);
  assert.equal(await cache.get(key), null);
  const r = await http('GET', `/api/v1/cache/kv/${key}`);
  assert.equal(r.status, 404);
  assert.equal(r.json.error, 'Not found');
});

test('keys may hold anything that can be percent-encoded', async () => {
  for (const raw of ['a/b/c', 'with space', 'ünï/日本', 'a%2Fb', '{}*?[]', 'x:y', '../../etc', 'q?ttl=1', '#']) {
    const key = `${unique('k')}${raw}`;
    await cache.set(key, raw);
    assert.equal(await cache.get(key), raw, raw);
  }
  const key = unique('slash');
  const put = await http('PUT', `/api/v1/cache/kv/${key}/with/slash`, { body: '7' });
  assert.equal(put.status, 200);
  assert.equal(await cache.get(`${key}/with/slash`), 7);
});

test('nx sets once', async () => {
  const key = unique('lock');
  assert.equal(await cache.set(key, 'a', { nx: true }), true);
  assert.equal(await cache.set(key, 'b', { nx: true }), false);
  assert.equal(await cache.get(key), 'a');
});

test('of many setting nx at once one wins', async () => {
  const key = unique('race');
  const won = await Promise.all(Array.from({ length: 30 }, (_, i) => cache.set(key, i, { nx: true })));
  assert.equal(won.filter(Boolean).length, 1);
  assert.equal(await cache.get(key), won.indexOf(true));
});

test('a TTL ends a key, and a plain set clears it', async () => {
  const short = unique('ttl');
  const kept = unique('ttl');
  await cache.set(short, 1, { ttl: 1 });
  await cache.set(kept, 1, { ttl: 1 });
  await cache.set(kept, 2);
  await eventually(async () => (await cache.get(short)) === null, 'the key to expire');
  assert.equal(await cache.get(kept), 2);
});

test('expire sets and clears a TTL', async () => {
  const key = unique('exp');
  assert.equal(await cache.expire(key, 10), false);
  await cache.set(key, 1);
  assert.equal(await cache.expire(key, 1), true);
  assert.equal(await cache.expire(key, null), true);
  const doomed = unique('exp');
  await cache.set(doomed, 1);
  await cache.expire(doomed, 1);
  await eventually(async () => (await cache.get(doomed)) === null, 'the key to expire');
  assert.equal(await cache.get(key), 1);
  assert.equal(await cache.expire(key, 0), true);
  assert.equal(await cache.get(key), 1);
});

test('hashes merge fields and come back whole', async () => {
  const key = unique('h');
  assert.equal(await cache.hgetAll(key), null);
  assert.equal(await cache.hset(key, { name: 'Zed', level: 7, deep: { a: [1] }, none: null }), 4);
  assert.equal(await cache.hset(key, { level: 8, 'odd "field" ü': true }), 2);
  assert.deepEqual(await cache.hgetAll(key), { name: 'Zed', level: 8, deep: { a: [1] }, none: null, 'odd "field" ü': true });
  const r = await http('POST', `/api/v1/cache/hset/${key}`, { body: {} });
  assert.equal(r.status, 400);
  assert.equal(r.json.error, 'fields is required');
});

test('sets count what is new, also within one call', async () => {
  const key = unique('s');
  assert.deepEqual(await cache.sMembers(key), []);
  assert.equal(await cache.sAdd(key, 'a', 'b', 'a'), 2);
  assert.equal(await cache.sAdd(key, 'b', 'c'), 1);
  assert.deepEqual((await cache.sMembers(key)).sort(), ['a', 'b', 'c']);
  assert.equal(await cache.sRem(key, 'a', 'a', 'zzz'), 1);
  assert.deepEqual((await cache.sMembers(key)).sort(), ['b', 'c']);
  const miss = await http('GET', `/api/v1/cache/smembers/${unique('none')}`);
  assert.equal(miss.status, 404);
});

test('another type of value is 409 wrong_type; delete takes any', async () => {
  const set = unique('w');
  await cache.sAdd(set, 'x');
  await rejects(cache.get(set), 409, 'wrong_type');
  await rejects(cache.hset(set, { a: 1 }), 409, 'wrong_type');
  await rejects(cache.hgetAll(set), 409, 'wrong_type');
  const kv = unique('w');
  await cache.set(kv, 1);
  await rejects(cache.sAdd(kv, 'x'), 409, 'wrong_type');
  await rejects(cache.sMembers(kv), 409, 'wrong_type');
  assert.equal(await cache.del(set), true);
  assert.equal(await cache.del(kv), true);
});

test('projects do not see each other\'s keys', async () => {
  const key = unique('p');
  await cache.set(key, 'mine');
  assert.equal(await otherProject().cache.get(key), null);
  await otherProject().cache.set(key, 'theirs');
  assert.equal(await cache.get(key), 'mine');
});

test('bad requests are 400 with a message that names the trouble', async () => {
  const cases = [
    ['GET', '/api/v1/cache/kv/'],
    ['PUT', `/api/v1/cache/kv/${unique('x')}?ttl=abc`, '1'],
    ['PUT', `/api/v1/cache/kv/${unique('x')}`, '{bad json'],
    ['GET', '/api/v1/cache/kv/%zz'],
    ['GET', `/api/v1/cache/kv/${'k'.repeat(5000)}`],
    ['POST', `/api/v1/cache/sadd/${unique('x')}`, { members: 'not a list' }],
  ];
  for (const [method, path, body] of cases) {
    const r = await http(method, path, { body });
    assert.equal(r.status, 400, `${method} ${path.slice(0, 80)} ${r.text}`);
    assert.ok(r.json.error && r.json.code, r.text);
  }
  const unknown = await http('GET', '/api/v1/cache/nothing/x');
  assert.equal(unknown.status, 404);
});

test('a megabyte fits, more is 413', async () => {
  const key = unique('big');
  const big = 'x'.repeat(900_000);
  await cache.set(key, big);
  assert.equal(await cache.get(key), big);
  await rejects(cache.set(key, 'x'.repeat(3_000_000)), 413);
  await cache.del(key);
});
