// PostgreSQL and Redis go away for ten seconds and come back: errors name the trouble, nothing acknowledged is lost, nobody restarts us.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';
import { Witness } from './support.mjs';

const kOutageMs = 10_000;
let cluster;
before(async () => (cluster = await startCluster('separate')));
after(async () => assert.deepEqual(await cluster.stop(), []));

const outage = async (since = Date.now()) => waitFor(() => Date.now() - since >= kOutageMs, 'the outage to last', kOutageMs + 5000);

test('PostgreSQL stops for 10 s', async () => {
  await cluster.migrate('CREATE TABLE outage (id int PRIMARY KEY)');
  const w = new Witness(cluster.url, cluster.apiKey, 'outage');
  await waitFor(() => w.acknowledged.size > 200, 'inserts to flow');
  await cluster.postgres.stop();
  await waitFor(() => w.answers.some((a) => a.status === 503), 'a 503');
  await outage();
  const ready = await fetch(`${cluster.ops.storage}/readyz`);
  assert.equal(ready.status, 503);
  cluster.postgres.start();
  await cluster.postgres.ready();
  const before = w.acknowledged.size;
  await waitFor(() => w.acknowledged.size > before + 200, `inserts to flow again: ${JSON.stringify(w.tally())}`);
  await w.stop();
  for (const key of Object.keys(w.tally())) assert.match(key, /^(200$|503 |504 )/, JSON.stringify(w.tally()));
  await w.assertNothingLost();
  await waitFor(async () => (await fetch(`${cluster.ops.storage}/readyz`)).status === 200, 'storage to be ready again');
});

test('Redis stops for 10 s: the cache says 503, the database goes on', async () => {
  const call = (method, path, body) =>
    fetch(cluster.url + path, { method, body, headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json' }, signal: AbortSignal.timeout(15_000) })
      .then(async (r) => ({ status: r.status, json: await r.json() }));
  assert.equal((await call('PUT', '/api/v1/cache/kv/before', '1')).status, 200);
  await Promise.all(cluster.redis.map((r) => r.stop()));
  const during = await waitFor(async () => {
    const r = await call('GET', '/api/v1/cache/kv/before');
    return r.status !== 200 && r;
  }, 'the cache to notice');
  assert.equal(during.status, 503, JSON.stringify(during));
  assert.ok(during.json.code);
  const db = await call('POST', '/api/v1/db', '{"operation":"count","tableName":"outage"}');
  assert.equal(db.status, 200, JSON.stringify(db));
  await outage();
  for (const r of cluster.redis) r.start();
  await Promise.all(cluster.redis.map((r) => r.ready()));
  await waitFor(async () => (await call('PUT', '/api/v1/cache/kv/after', '2')).status === 200, 'the cache to be back');
  assert.deepEqual((await call('GET', '/api/v1/cache/kv/after')).json, { value: 2 });
});
