// What the checker has found and is not mended yet; each is the smallest form of it. The nightly run expects this file to fail, and so tells
// when it is time to move a test of it into realtime.test.mjs (docs/chaos-realtime.md).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { pause } from './realtime_client.mjs';
import { kPresenceTimeoutMs, RealtimeCluster, withScene } from './realtime_cluster.mjs';

let cluster;
before(async () => (cluster = await RealtimeCluster.start({ broker: 'redis', nodes: 3 })));
after(async () => assert.deepEqual((await cluster?.stop()) ?? [], []));

/** A bare v1 socket that keeps its events. */
async function open(node, token) {
  const socket = new WebSocket(`${cluster.urls[node]}?token=${token}`, 'raymesh.realtime.v1');
  socket.events = [];
  socket.say = (command) => socket.send(JSON.stringify(command));
  socket.until = async (matches) => {
    for (const end = Date.now() + 10_000; Date.now() < end; await pause(5)) {
      const found = socket.events.find(matches);
      if (found) return found;
    }
    throw new Error(`it did not come; there were ${JSON.stringify(socket.events)}`);
  };
  socket.on('error', () => {});
  socket.on('message', (data) => socket.events.push(JSON.parse(data.toString())));
  await new Promise((resolve) => socket.once('open', resolve));
  await socket.until((e) => e.type === 'welcome');
  return socket;
}

test('a node that is behind does not tell a client that it is ahead of the channel', async () => {
  const token = await cluster.minter(['h:behind'])('ada');
  const there = await open(1, token);
  there.say({ type: 'subscribe', id: 1, channel: 'h:behind' });
  const here = await open(0, token);
  here.say({ type: 'subscribe', id: 1, channel: 'h:behind' });
  await here.until((e) => e.type === 'subscribed');
  await there.until((e) => e.type === 'subscribed');
  const moving = await open(1, token);
  cluster.links[1].stall('both');
  here.say([{ type: 'publish', id: 2, channel: 'h:behind', payload: 1 }, { type: 'publish', id: 3, channel: 'h:behind', payload: 2 }]);
  const { epoch, offset } = await here.until((e) => e.id === 3);
  moving.say({ type: 'subscribe', id: 1, channel: 'h:behind', position: { epoch, offset } });
  await pause(1000);
  cluster.links[1].heal();
  const answer = await moving.until((e) => e.id === 1);
  await pause(200);
  for (const s of [there, here, moving]) s.terminate();
  if (answer.type !== 'error') assert.deepEqual({ offset: answer.offset, recovered: answer.recovered }, { offset, recovered: true });
  assert.deepEqual(moving.events.filter((e) => e.type.startsWith('message')), []);
});

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
