// Redis on a host of its own, a network namespace, and each node with a link to it that loses packets without a word: what a switch or a
// firewall does, and a proxy cannot, because whoever sends into it is acknowledged. Needs root.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pause } from './realtime_client.mjs';
import { kPresenceTimeoutMs, RealtimeCluster, withScene } from './realtime_cluster.mjs';

const nodes = 3;
let cluster;
before(async () => (cluster = await RealtimeCluster.start({ broker: 'redis', nodes, namespace: true })));
after(async () => assert.deepEqual((await cluster?.stop()) ?? [], []));

const kFaults = {
  'packets to Redis are lost': (link) => link.stall('up'),
  'packets from Redis are lost': (link) => link.stall('down'),
  'packets both ways are lost': (link) => link.stall('both'),
  'the plug is out': (link) => link.unplug(),
};
for (const [name, harm] of Object.entries(kFaults))
  for (const [how, ms] of [['for a moment', 700], ['past the lease', 2 * kPresenceTimeoutMs]])
    test(`between a node and Redis, ${name} ${how}`, (t) =>
      withScene(cluster, {}, async (scene) => {
        const i = nodes - 1;
        await scene.recorder.disturb([i], async () => {
          harm(cluster.links[i]);
          await scene.churn(i);
          await pause(ms);
          cluster.links[i].heal();
        }, { lasting: true });
        await scene.ready();
        await scene.flowing(300);
        await scene.finish(t, { mustRecover: (channel) => channel.startsWith('h:'), noticeMs: ms + 10_000 });
      }));

test('Redis is gone for all nodes at once', (t) =>
  withScene(cluster, {}, async (scene) => {
    await scene.recorder.disturb(null, async () => {
      for (const link of cluster.links) link.stall('both');
      await pause(2 * kPresenceTimeoutMs);
      for (const link of cluster.links) link.heal();
    }, { lasting: true });
    await scene.ready();
    await scene.flowing(300);
    await scene.finish(t, { mustRecover: (channel) => channel.startsWith('h:'), noticeMs: 2 * kPresenceTimeoutMs + 10_000 });
  }));
