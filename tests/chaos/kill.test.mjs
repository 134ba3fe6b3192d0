// kill -9 of each service under load: nothing acknowledged is lost, errors are 503 with a code, and it recovers without
// a restart of the others.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';
import { Witness } from './support.mjs';

let cluster;
before(async () => (cluster = await startCluster('separate')));
after(async () => assert.deepEqual(await cluster.stop(), []));

async function witness(name) {
  await cluster.migrate(`CREATE TABLE ${name} (id int PRIMARY KEY)`);
  return new Witness(cluster.url, cluster.apiKey, name);
}

const flowing = (w, n = 200) => {
  const from = w.acknowledged.size;
  return waitFor(() => w.acknowledged.size >= from + n, `${n} more acknowledged inserts: ${JSON.stringify(w.tally())}`, 30_000);
};

for (const service of ['storage', 'auth', 'cache', 'realtime'])
  test(`kill -9 of ${service} loses nothing and heals by a restart of ${service} alone`, async () => {
    const w = await witness(`kill_${service}`);
    await flowing(w);
    const others = cluster.names.filter((n) => n !== service).map((n) => cluster.services[n].pid);
    await cluster.services[service].kill();
    if (service === 'storage') await waitFor(() => w.answers.some((a) => a.status === 503), 'a 503 while storage is down');
    await cluster.services[service].start();
    await flowing(w);
    await w.stop();
    assert.deepEqual(cluster.names.filter((n) => n !== service).map((n) => cluster.services[n].pid), others);
    for (const key of Object.keys(w.tally())) assert.match(key, /^(200$|503 )/, JSON.stringify(w.tally()));
    await w.assertNothingLost();
  });

test('kill -9 of the gateway loses nothing; it serves again as soon as it is back', async () => {
  const w = await witness('kill_gateway');
  await flowing(w);
  await cluster.services.gateway.kill();
  await cluster.services.gateway.start();
  await flowing(w);
  await w.stop();
  for (const key of Object.keys(w.tally())) assert.match(key, /^(200$|503 |0 )/, JSON.stringify(w.tally()));
  await w.assertNothingLost();
});

test('SIGTERM of storage under load ends within its grace, with code 0, and nothing acknowledged is lost', async () => {
  const w = await witness('term_storage');
  await flowing(w);
  const ended = await cluster.services.storage.stop();
  assert.deepEqual(ended, { code: 0, signal: null });
  await cluster.services.storage.start();
  await flowing(w);
  await w.stop();
  for (const key of Object.keys(w.tally())) assert.match(key, /^(200$|503 )/, JSON.stringify(w.tally()));
  await w.assertNothingLost();
});
