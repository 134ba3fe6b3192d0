// Ten minutes of churn on two realtime nodes and Redis: clients of all kinds connect, subscribe to channels that are used once, publish and
// die in every way; a node is killed once. In the end memory is flat and nothing is left. SOAK_SECONDS shortens it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { waitFor } from '../support/processes.mjs';
import { PlainClient, pause, Recorder, SseClient, V1Client } from './realtime_client.mjs';
import { kPresenceTimeoutMs, RealtimeCluster } from './realtime_cluster.mjs';

const kSeconds = Number(process.env.SOAK_SECONDS ?? 600);
const kNodes = 2;
const kWorkers = 24;
const kHistoryTtlMs = 5_000;

let cluster;
before(async () => (cluster = await RealtimeCluster.start({ broker: 'redis', nodes: kNodes, rules: ['h:* history=20 history-ttl=5s'], links: false })));
after(async () => assert.deepEqual((await cluster?.stop()) ?? [], []));

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const counts = {};
const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);

/** One short life. Its recorder is thrown away, so that this process stays small. */
async function live(tokens) {
  const { token, channels } = pick(tokens);
  const recorder = new Recorder();
  const kind = pick([V1Client, V1Client, PlainClient, SseClient]);
  const client = new kind(recorder, { name: 'x', identity: 'x', channels, urls: cluster.urls, node: Math.floor(Math.random() * kNodes), token: () => token, presence: Math.random() < 0.3 ? channels.slice(0, 1) : [] });
  try {
    await client.start();
    await waitFor(() => client.ready || !client.running, 'a client to be served', 30_000);
    count(kind.name);
    for (let i = 0; i < 5 && client.ready; i++) {
      if (kind === V1Client) client.send([{ type: 'publish', id: 1000 + i, channel: pick(channels), payload: { id: 'a', pad: 'x'.repeat(Math.random() * 2000) } }, { type: 'presence', id: 2000 + i, channel: pick(channels) }]);
      else if (kind === PlainClient) client.send({ type: 'publish', channel: pick(channels), payload: { id: 'b' } });
      else await cluster.api('POST', '/api/v1/realtime/publish', { channel: pick(channels), payload: { id: 'c' } });
      await pause(10 + Math.random() * 40);
    }
    const death = pick(['close', 'terminate', 'bounce', 'mid-subscribe', 'resubscribe']);
    count(death);
    if (death === 'bounce' && kind !== SseClient && client.ready) {
      client.bounce();
      await waitFor(() => client.ready || !client.running, 'a client to be back', 30_000);
    }
    if (death === 'mid-subscribe' && kind !== SseClient && client.ready) {
      client.drop();
      await waitFor(() => client.session.opened !== null && client.session.ended === null, 'the next connection to open', 30_000);
    }
    if (death === 'resubscribe' && kind === V1Client && client.ready) {
      const [channel] = channels;
      client.send([{ type: 'unsubscribe', id: 3000, channel }, { type: 'subscribe', id: 3001, channel }]);
    }
    if (death === 'terminate' || death === 'resubscribe' || death === 'mid-subscribe') {
      client.running = false;
      client.socket ? client.drop({ stay: true }) : client.request.destroy();
    }
  } finally {
    await client.close();
  }
}

/** Tokens of channels that nobody has used before; a few share channels, so that they meet. */
async function freshTokens(n) {
  return Promise.all(Array.from({ length: n }, async () => {
    const channels = Array.from({ length: 4 }, (_, i) => `${i % 2 ? 'h' : 'n'}:${randomBytes(6).toString('hex')}`);
    return { channels, token: await cluster.minter(channels)('x') };
  }));
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const redisMemory = () => Number(/used_memory:(\d+)/.exec(cluster.redisCommand('INFO', 'memory'))[1]);
/** Redis's keys that are there for ever, and how many expire. */
const keys = () => {
  const script = "local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do r[#r + 1] = redis.call('PTTL', k) .. ' ' .. k end return r";
  const all = cluster.redisCommand('EVAL', script, '0').split('\n').filter(Boolean);
  const forEver = all.filter((line) => line.startsWith('-1 ')).map((line) => line.slice(3));
  return { forEver, expiring: all.length - forEver.length };
};

test(`${kSeconds} s of churn end with flat memory and nothing left`, { timeout: (kSeconds + 240) * 1000 }, async (t) => {
  const begin = Date.now();
  const fixed = keys().forEver;
  const at = () => (Date.now() - begin) / 1000 / kSeconds;
  let tokens = await freshTokens(8);
  const failures = [];
  const workers = Array.from({ length: kWorkers }, async () => {
    while (at() < 1 && failures.length === 0) await live(tokens).catch((error) => failures.push(error));
  });
  const samples = [];
  let killed = false;
  while (at() < 1 && failures.length === 0) {
    tokens = await freshTokens(8);
    samples.push({ at: at(), nodes: cluster.nodes.map((n) => cluster.rss(n.pid)), redis: redisMemory() });
    if (!killed && at() > 0.2) {
      killed = true;
      await cluster.nodes[1].kill();
      await cluster.nodes[1].start();
    }
    await pause(Math.min(1000, kSeconds * 10));
  }
  await Promise.all(workers);
  if (failures.length > 0) throw failures[0];

  const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
  const over = (from, to, f) => median(samples.filter((s) => s.at >= from && s.at < to).map(f));
  t.diagnostic(`lives: ${JSON.stringify(counts)}`);
  for (const [name, f] of [['node 0', (s) => s.nodes[0]], ['node 1', (s) => s.nodes[1]], ['Redis', (s) => s.redis]]) {
    const [warm, end] = [over(0.4, 0.55, f), over(0.85, 1, f)];
    t.diagnostic(`${name}: ${mib(warm)} MiB warm, ${mib(end)} at the end`);
    assert.ok(end < warm * 1.1 + 2 * 2 ** 20, `${name} has grown from ${mib(warm)} to ${mib(end)} MiB`);
  }

  // What may be left: nothing in the nodes; in Redis what expires, and what was there before anybody came.
  const alive = async () => Promise.all(cluster.nodes.map(async (_, i) => [await cluster.metric(i, 'raymesh_realtime_connections'), await cluster.metric(i, 'raymesh_realtime_channels')]));
  await waitFor(async () => (await alive()).flat().every((n) => n === 0), 'connections and channels to be gone', 30_000).catch(async (error) => {
    throw new Error(`${error.message}: [connections, channels] ${JSON.stringify(await alive())}`);
  });
  await pause(kPresenceTimeoutMs + kHistoryTtlMs + 2000);
  const { forEver, expiring } = keys();
  const left = forEver.filter((name) => !fixed.includes(name));
  t.diagnostic(`keys: ${expiring} that expire, ${forEver.length} for ever, ${fixed.length} of them since the start`);
  assert.deepEqual(left.slice(0, 10), [], `${left.length} keys that do not expire are left`);
});
