// Faults of a realtime cluster under steady load, each judged by realtime_checker.mjs. REALTIME_BROKER and REALTIME_NODES choose the
// cluster; REALTIME_LONG=1 runs all faults, and longer ones, instead of the few that fit into every run. REALTIME_HISTORY=<folder> keeps
// what the clients saw.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { waitFor } from '../support/processes.mjs';
import { check } from './realtime_checker.mjs';
import { HttpPublisher, pause, Recorder, V1Client } from './realtime_client.mjs';
import { judge, kPresenceTimeoutMs, RealtimeCluster, withScene } from './realtime_cluster.mjs';

const broker = process.env.REALTIME_BROKER ?? 'memory';
const nodes = Number(process.env.REALTIME_NODES ?? (broker === 'redis' ? 3 : 1));
const long = process.env.REALTIME_LONG === '1';
const many = nodes > 1;
const redis = broker === 'redis';
/** Runs in every run when `always`, otherwise only with the long ones. */
const fault = (always, name, body) =>
  always || long
    ? test(name, async (t) => {
        // The checker's work may have held up this process, and with it the links to Redis, for longer than a lease.
        await cluster.ready();
        await body(t);
      })
    : undefined;

let cluster;
before(async () => (cluster = await RealtimeCluster.start({ broker, nodes })));
after(async () => assert.deepEqual((await cluster?.stop()) ?? [], []));

const keeps = (channel) => channel.startsWith('h:');
const nobody = () => false;
const kStorm = long ? 5000 : 500;
/** Connections that the cluster has. */
const open = async () => {
  let sum = 0;
  for (let i = 0; i < nodes; i++) sum += await cluster.metric(i, 'raymesh_realtime_connections');
  return sum;
};

fault(false, 'nothing happens: everything arrives once, in order, and delivered and presence are exact', (t) =>
  withScene(cluster, {}, async (scene) => {
    await scene.flowing(long ? 5000 : 500);
    const { stats } = await scene.finish(t, { mustRecover: keeps });
    assert.ok(stats.deliveredExact > 500 && stats.plainReceived > 300 && stats.presenceReads > 20, JSON.stringify(stats));
  }));

fault(!redis, 'clients lose their connections and come back: nothing is missing, nothing twice', (t) =>
  withScene(cluster, {}, async (scene) => {
    for (let round = 0; round < (long ? 20 : 2); round++) {
      for (const c of scene.clients) {
        c.socket ? c.drop() : c.request.destroy();
        await pause(5);
      }
      await scene.ready();
      await scene.flowing(100);
    }
    const { stats } = await scene.finish(t, { mustRecover: keeps });
    assert.ok(stats.recovered > 50, JSON.stringify(stats));
  }));

fault(!redis, 'kill -9 of a node', (t) =>
  withScene(cluster, {}, async (scene) => {
    for (let round = 0; round < (long ? 5 : 1); round++) {
      const i = (nodes - 1 + round) % nodes;
      await scene.recorder.disturb([i], () => cluster.nodes[i].kill());
      if (many) {
        await scene.ready(10_000);
        await scene.flowing(300);
      }
      await cluster.nodes[i].start();
      await scene.flowing(300);
    }
    await scene.finish(t, { mustRecover: many ? keeps : nobody });
  }));

fault(many, 'SIGSTOP of a node past its lease, then SIGCONT', (t) =>
  withScene(cluster, {}, async (scene) => {
    const i = nodes - 1;
    await scene.recorder.disturb([i], async () => {
      cluster.nodes[i].child.signal('SIGSTOP');
      try {
        await pause(500);
        await scene.churn(i);
        await pause(many ? 2 * kPresenceTimeoutMs : 2000);
      } finally {
        cluster.nodes[i].child.signal('SIGCONT');
      }
    }, { lasting: true });
    await scene.ready();
    await scene.flowing(300);
    await scene.finish(t, { mustRecover: keeps, noticeMs: many ? 2 * kPresenceTimeoutMs + 5000 : 5000 });
  }));

fault(!redis, 'rolling restart of all nodes by SIGTERM: clients are told when to come back', (t) =>
  withScene(cluster, {}, async (scene) => {
    for (let i = 0; i < nodes; i++) {
      const mine = scene.clients.filter((c) => c.session.node === i).map((c) => c.session);
      await scene.recorder.disturb([i], async () => {
        assert.deepEqual(await cluster.nodes[i].stop(), { code: 0, signal: null });
        await cluster.nodes[i].start();
      });
      for (const s of mine) {
        assert.ok(s.end, `${s.client} has a connection to the stopped node`);
        assert.equal(s.end.code, 1012, `${s.client}: ${JSON.stringify(s.end)}`);
        assert.match(s.end.reason, /^reconnect_after_ms=\d+$/);
        if (s.kind !== 'plain') assert.ok(s.log.some((e) => e.in?.type === 'reconnect' && e.in.after_ms >= 0), `${s.client} was not told to reconnect`);
      }
      await scene.ready();
      await scene.flowing(200);
    }
    await scene.finish(t, { mustRecover: many ? keeps : nobody });
  }));

fault(!redis, 'a message between "close" and "closed", or between "unsubscribe" and "unsubscribed", is not lost', (t) =>
  withScene(cluster, { plain: 0, sse: 0, everyMs: 1, channels: 8 }, async (scene) => {
    for (let round = 0; round < (long ? 200 : 10); round++) {
      for (const c of scene.clients) {
        if (c.ready && round % 2 === 0) c.bounce();
        else if (c.ready) c.channels.forEach((channel) => c.resubscribe(channel));
        await pause(3);
      }
      await scene.ready();
    }
    const { stats } = await scene.finish(t, { mustRecover: keeps });
    assert.ok(stats.recovered > 100, JSON.stringify(stats));
  }));

fault(true, 'unsubscribe, subscribe and the end of the connection in one breath leave nobody in presence', async () => {
  const channel = 'n:breath';
  const token = await cluster.minter([channel])('ada');
  const life = (node) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${cluster.urls[node]}?token=${token}`, 'raymesh.realtime.v1');
      const seen = [];
      const late = setTimeout(() => reject(new Error(`a connection to node ${node} did not end: ${JSON.stringify(seen)}`)), 20_000);
      socket.on('message', (data) => {
        const event = JSON.parse(data.toString());
        seen.push(event);
        if (event.type === 'welcome') socket.send(JSON.stringify({ type: 'subscribe', id: 1, channel }));
        if (event.type === 'error' && event.id === 1) setTimeout(() => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ type: 'subscribe', id: 1, channel })), 200);
        if (event.type !== 'subscribed' || event.id !== 1) return;
        socket.send(JSON.stringify([{ type: 'unsubscribe', id: 2, channel }, { type: 'subscribe', id: 3, channel }]));
        node % 2 === 0 ? socket.terminate() : socket.close(1000);
      });
      socket.on('error', reject);
      socket.on('close', (code) => {
        clearTimeout(late);
        resolve(code);
      });
    });
  for (let i = 0; i < (long ? 200 : 10); i++) await Promise.all(Array.from({ length: 8 }, (_, k) => life(k % nodes)));
  const read = () => cluster.api('GET', `/api/v1/realtime/channels/${encodeURIComponent(channel)}/presence`);
  await waitFor(async () => (await read()).json?.count === 0, 'presence to be empty', kPresenceTimeoutMs + 2000).catch(async (error) => assert.fail(`${error.message}: ${JSON.stringify((await read()).json)}`));
});

fault(redis, `a recovery storm: ${kStorm} clients reconnect at once, with positions`, async (t) => {
  const recorder = new Recorder();
  const channels = Array.from({ length: 50 }, (_, i) => `h:storm${i}`);
  const clients = [];
  const publisher = new HttpPublisher(recorder, { name: 'h', api: cluster.api, channels, everyMs: 5 });
  try {
    for (let i = 0; i < kStorm; i += 100) {
      const group = [0, 1].map((k) => channels[(i / 100 + 7 * k) % channels.length]);
      const token = await cluster.minter(group)(`g${i}`);
      for (let k = 0; k < 100; k++) clients.push(new V1Client(recorder, { name: `s${i + k}`, identity: `g${i}`, channels: group, urls: cluster.urls, node: k % nodes, token: () => token }));
    }
    for (let i = 0; i < clients.length; i += 250) {
      await Promise.all(clients.slice(i, i + 250).map((c) => c.start()));
      await waitFor(() => clients.slice(i, i + 250).every((c) => c.ready), 'clients to be served', 30_000);
    }
    publisher.start();
    await waitFor(() => recorder.publishes.length > 100, 'messages to flow', 60_000);
    assert.equal(await open(), clients.length);
    const from = recorder.now();
    for (const c of clients) c.drop();
    await waitFor(() => clients.every((c) => c.ready), 'every client to be back', 60_000);
    t.diagnostic(`${kStorm} clients were back after ${Math.round(recorder.now() - from)} ms`);
    await waitFor(() => recorder.publishes.length > 200, 'messages to flow on', 60_000);
    await publisher.stop();
    const markers = {};
    for (const channel of channels) markers[channel] = (await publisher.publish(channel)).id;
    await waitFor(() => clients.every((c) => c.channels.every((channel) => c.at(channel, markers[channel]))), 'every client to have the last messages', 30_000).catch(() => {});
    const served = clients.map((c) => ({ client: c.name, channels: c.channels }));
    const result = check(recorder.history(), { mustRecover: keeps, markers, served, noticeMs: 20_000, clientLagMs: 5_000, presenceLagMs: 5_000, presenceBoundMs: kPresenceTimeoutMs });
    t.diagnostic(JSON.stringify(result.stats));
    judge(result);
    assert.equal(result.stats.recovered, 2 * clients.length);
  } finally {
    await publisher.stop();
    for (const c of clients) c.drop({ stay: true });
    await waitFor(async () => (await open()) === 0, 'the connections to be gone');
  }
});

fault(redis, 'one slow reader neither slows the others nor takes the memory', async (t) => {
  const recorder = new Recorder();
  const channels = ['n:slow', 'd:slow'];
  const client = (name, more) => new V1Client(recorder, { name, channels, urls: cluster.urls, node: 0, token: cluster.minter(channels), ...more });
  const healthy = Array.from({ length: 6 }, (_, i) => client(`fast${i}`));
  const stalled = client('stalled', { channels: ['n:slow'] });
  const dropping = client('dropping', { channels: ['d:slow'] });
  const all = [...healthy, stalled, dropping];
  const publisher = new HttpPublisher(recorder, { name: 'h', api: cluster.api, channels: [], pad: 'x'.repeat(32_768) });
  try {
    await Promise.all(all.map((c) => c.start()));
    await waitFor(() => all.every((c) => c.ready), 'clients to be served');
    for (let i = 0; i < 50; i++) await publisher.publish(channels[i % 2]);
    const before = cluster.rss(cluster.nodes[0].pid);
    stalled.pauseReading();
    dropping.pauseReading();
    let most = before;
    const messages = long ? 4000 : 800;
    for (let i = 0; i < messages; i += 8) {
      await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((k) => publisher.publish(channels[k % 2])));
      most = Math.max(most, cluster.rss(cluster.nodes[0].pid));
    }
    assert.ok((await cluster.metric(0, 'raymesh_realtime_connections_closed_total{code="4408"}')) >= 1, 'the slow reader was not closed');
    assert.ok((await cluster.metric(0, 'raymesh_realtime_dropped_total')) > 0, 'nothing was dropped for the reader of slow=drop');
    stalled.resumeReading();
    dropping.resumeReading();
    await waitFor(() => stalled.session.deaf === undefined && all.every((c) => c.ready), 'every client to be served');
    const markers = {};
    for (const channel of channels) markers[channel] = (await publisher.publish(channel)).id;
    await waitFor(() => all.every((c) => c.channels.every((channel) => c.at(channel, markers[channel]))), 'every client to have the last messages').catch(() => {});
    const history = recorder.history();
    const result = check(history, { markers, served: all.map((c) => ({ client: c.name, channels: c.channels })), noticeMs: 60_000 });
    judge(result);
    assert.ok(result.stats.gaps > 0, 'the reader of slow=drop was told of no gap');
    const sent = new Map(history.publishes.map((p) => [p.id, p.sent]));
    const waits = history.sessions.filter((s) => s.client.startsWith('fast')).flatMap((s) => s.log.flatMap((e) => (e.in?.type === 'message' ? [e.at - sent.get(e.in.payload.id)] : [])));
    waits.sort((a, b) => a - b);
    t.diagnostic(`${waits.length} messages to fast readers, p99 ${waits[Math.floor(waits.length * 0.99)].toFixed(1)} ms, most ${waits[waits.length - 1].toFixed(1)} ms; memory ${(before / 2 ** 20).toFixed(1)} MiB, at most ${(most / 2 ** 20).toFixed(1)}`);
    assert.ok(waits[Math.floor(waits.length * 0.99)] < 500, 'fast readers waited');
    assert.ok(most - before < 64 * 2 ** 20, `${most - before} bytes for two slow readers`);
    for (const c of healthy) assert.equal(history.sessions.filter((s) => s.client === c.name).length, 1, `${c.name} was closed, too`);
  } finally {
    await Promise.all(all.map((c) => c.close()));
  }
});

if (many) {
  fault(false, 'SIGTERM of one node: its members go over to others without a flicker', (t) =>
    withScene(cluster, {}, async (scene) => {
      const i = nodes - 1;
      const moving = scene.clients.filter((c) => c.node === i);
      const from = scene.recorder.now();
      await scene.recorder.disturb([i], () => cluster.nodes[i].stop());
      await scene.ready();
      const to = scene.recorder.now();
      await pause(kPresenceTimeoutMs + 2500); // what is to come late comes now
      await cluster.nodes[i].start();
      await scene.finish(t, { mustRecover: keeps, steady: [{ identities: moving.map((c) => c.identity), from, to: to + kPresenceTimeoutMs + 2500 }] });
    }));
}

if (redis) {
  /** Redis dies and comes back after `ms`; `data`: 'kept' or 'lost'. */
  const redisDies = (scene, ms, data) =>
    scene.recorder.disturb(null, async () => {
      await cluster.killRedis();
      await pause(ms);
      await cluster.startRedisAgain(data);
    }, { lasting: true });
  const kAfterOutage = { noticeMs: 10_000 };

  fault(false, 'Redis is killed and comes back with its data', (t) =>
    withScene(cluster, {}, async (scene) => {
      await redisDies(scene, long ? 15_000 : 500, 'kept');
      await scene.flowing(300);
      await scene.finish(t, { ...kAfterOutage, mustRecover: keeps });
    }));

  fault(false, 'Redis is killed and comes back without its data', (t) =>
    withScene(cluster, {}, async (scene) => {
      await redisDies(scene, long ? 15_000 : 500, 'lost');
      await scene.flowing(300);
      await scene.finish(t, kAfterOutage);
    }));

  fault(false, 'Redis is killed and comes back with what it had a while ago', (t) =>
    withScene(cluster, {}, async (scene) => {
      const saved = cluster.saveRedis();
      await scene.flowing(200);
      await scene.recorder.disturb(null, async () => {
        await cluster.killRedis();
        cluster.restoreRedis(saved);
        await cluster.startRedisAgain('kept');
      }, { lasting: true });
      await scene.flowing(300);
      await scene.finish(t, kAfterOutage);
    }));

  const kPast = 2 * kPresenceTimeoutMs;
  const kLinkFaults = {
    'reset once': { harm: (link) => link.reset(), ms: 200 },
    'cut': { harm: (link) => link.cut(), ms: 1500 },
    'cut past the lease': { harm: (link) => link.cut(), ms: kPast, always: true },
    'silent both ways': { harm: (link) => link.stall('both'), ms: kPast },
    'silent towards Redis': { harm: (link) => link.stall('up'), ms: kPast },
    'silent from Redis': { harm: (link) => link.stall('down'), ms: kPast },
    'silent for a moment': { harm: (link) => link.stall('both'), ms: 700 },
    'half-open': { harm: (link) => link.halfOpen(), ms: kPast },
    'slow': { harm: (link) => link.delay(150), ms: 2000 },
  };
  for (const [name, { harm, ms, always = false }] of Object.entries(kLinkFaults))
    fault(always, `the link between a node and Redis is ${name}`, (t) =>
      withScene(cluster, {}, async (scene) => {
        const i = nodes - 1;
        await scene.recorder.disturb([i], async () => {
          await harm(cluster.links[i]);
          await scene.churn(i);
          await pause(ms);
          await cluster.links[i].heal();
        }, { lasting: true });
        await scene.ready();
        await scene.flowing(300);
        await scene.finish(t, { mustRecover: keeps, noticeMs: ms + 10_000 });
      }));

  const kMinutes = 60_000;
  for (const [where, ms] of [['a node', 5 * kMinutes], ['a node', -5 * kMinutes], ['Redis', 5 * kMinutes], ['Redis', -5 * kMinutes]])
    fault(false, `the clock of ${where} jumps ${ms > 0 ? 'forward' : 'back'}`, async (t) => {
      const i = nodes - 1;
      const set = await cluster.shiftable(where === 'Redis' ? cluster.redis : cluster.nodes[i]);
      await withScene(cluster, {}, async (scene) => {
        await scene.recorder.disturb(where === 'Redis' ? null : [i], async () => {
          set(ms);
          await pause(kPresenceTimeoutMs);
        });
        await scene.flowing(200);
        // A fault after the jump is as bounded as one before it.
        const killed = i - 1;
        await scene.recorder.disturb([killed], () => cluster.nodes[killed].kill());
        await scene.ready();
        await cluster.nodes[killed].start();
        await scene.finish(t, kAfterOutage);
      });
    });

  fault(!long, 'one fault after the other: kill -9, SIGTERM, a silent link, Redis without its data', (t) =>
    withScene(cluster, {}, async (scene) => {
      const { recorder } = scene;
      await recorder.disturb([0], () => cluster.nodes[0].kill());
      await scene.ready();
      await cluster.nodes[0].start();
      await recorder.disturb([1], () => cluster.nodes[1].stop());
      await scene.ready();
      await cluster.nodes[1].start();
      await recorder.disturb([nodes - 1], async () => {
        await cluster.links[nodes - 1].stall();
        await scene.churn(nodes - 1);
        await pause(1.2 * kPresenceTimeoutMs);
        await cluster.links[nodes - 1].heal();
      }, { lasting: true });
      await scene.flowing(100);
      const lost = recorder.now();
      await redisDies(scene, 300, 'lost');
      await scene.flowing(200);
      await scene.finish(t, { ...kAfterOutage, mustRecover: (channel, _, at) => keeps(channel) && at < lost });
    }));
}
