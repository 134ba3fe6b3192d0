// A node whose link to Redis is silent, and has not noticed: what it must not tell a client that comes from a node ahead of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { pause } from './realtime_client.mjs';
import { RealtimeCluster } from './realtime_cluster.mjs';

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
  await cluster.links[1].stall('both');
  here.say([{ type: 'publish', id: 2, channel: 'h:behind', payload: 1 }, { type: 'publish', id: 3, channel: 'h:behind', payload: 2 }]);
  const { epoch, offset } = await here.until((e) => e.id === 3);
  moving.say({ type: 'subscribe', id: 1, channel: 'h:behind', position: { epoch, offset } });
  await pause(1000);
  await cluster.links[1].heal();
  const answer = await moving.until((e) => e.id === 1);
  await pause(200);
  for (const s of [there, here, moving]) s.terminate();
  if (answer.type !== 'error') assert.deepEqual({ offset: answer.offset, recovered: answer.recovered }, { offset, recovered: true });
  assert.deepEqual(moving.events.filter((e) => e.type.startsWith('message')), []);
});
