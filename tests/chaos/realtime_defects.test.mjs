// What the checker has found and is not mended yet; each is the smallest form of it. The nightly run expects this file to fail, and so tells
// when it is time to move a test of it into realtime.test.mjs (docs/chaos-realtime.md).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pause } from './realtime_client.mjs';
import { kPresenceTimeoutMs, RealtimeCluster, withScene } from './realtime_cluster.mjs';

let cluster;
before(async () => (cluster = await RealtimeCluster.start({ broker: 'redis', nodes: 3 })));
after(async () => assert.deepEqual((await cluster?.stop()) ?? [], []));

for (const [name, harm] of [['paused', null], ['cut off from Redis', (link) => link.cut()]])
  test(`watchers on a node that was ${name} are told of the joins and leaves of that time, or of a gap`, (t) =>
    withScene(cluster, {}, async (scene) => {
      const i = 2;
      await scene.recorder.disturb([i], async () => {
        if (harm) harm(cluster.links[i]);
        else cluster.nodes[i].child.signal('SIGSTOP');
        await pause(300);
        await scene.churn(i, { avoid: true });
        await pause(2 * kPresenceTimeoutMs);
        if (harm) cluster.links[i].heal();
        else cluster.nodes[i].child.signal('SIGCONT');
      }, { lasting: true });
      await scene.ready();
      await scene.flowing(200);
      await scene.finish(t, { noticeMs: 20_000 });
    }));
