// API keys as an operator handles them: roles bound what a key may do, revocation takes effect, limits answer as documented.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';

let cluster;
before(async () => (cluster = await startCluster('separate')));
after(async () => assert.deepEqual(await cluster.stop(), []));

const call = async (key, method, path, body) => {
  const r = await fetch(cluster.url + path, { method, body: body && JSON.stringify(body), headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' } });
  return { status: r.status, json: await r.json(), headers: r.headers };
};

test('a key with a role migrates only as admin or owner', async () => {
  const key = (role) => cluster.createKey('--role', role).key;
  for (const role of ['viewer', 'editor']) {
    const k = key(role);
    assert.equal((await call(k, 'GET', '/api/v1/info')).json.capabilities.migrate, false);
    const refused = await call(k, 'POST', '/api/v1/db/migrate', { sql: 'SELECT 1' });
    assert.deepEqual([refused.status, refused.json.code], [403, 'permission_denied']);
  }
  const admin = await call(key('admin'), 'POST', '/api/v1/db/migrate', { sql: 'SELECT 1' });
  assert.equal(admin.status, 200, JSON.stringify(admin.json));
});

test('a revoked key is refused within seconds, without a restart', async () => {
  const { id, key } = cluster.createKey();
  assert.equal((await call(key, 'GET', '/api/v1/info')).status, 200);
  cluster.raymesh('key', 'revoke', id, ...cluster.admin);
  const refused = await waitFor(async () => {
    const r = await call(key, 'GET', '/api/v1/info');
    return r.status !== 200 && r;
  }, 'the key to be refused');
  assert.deepEqual([refused.status, refused.json.code], [401, 'invalid_api_key']);
});

test('above its rate a key gets 429 with rate_limit, timeleft and Retry-After', async () => {
  const { key } = cluster.createKey('--requests-per-second', '5', '--burst', '5');
  const answers = await Promise.all(Array.from({ length: 40 }, () => call(key, 'GET', '/api/v1/info')));
  const good = answers.filter((a) => a.status === 200).length;
  assert.ok(good >= 5 && good <= 12, `${good} of 40 passed`);
  const limited = answers.find((a) => a.status !== 200);
  assert.equal(limited.status, 429);
  assert.equal(limited.json.rate_limit, true);
  assert.equal(limited.json.code, 'rate_limited');
  assert.ok(limited.json.timeleft >= 1);
  assert.ok(Number(limited.headers.get('retry-after')) >= 1);
});
