// clients/js and two gateways behind one address, as a load balancer would have them: the session goes on when the gateway that has it is
// killed, or the network breaks.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { raymesh } from '../../clients/js/dist/esm/index.js';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';

const kQuick = ['--timer-tick', '10ms', '--raystream-check-period', '50ms'];

let cluster, serverKeys, gateways;
const clients = [];
before(async () => {
  cluster = await startCluster('separate');
  const response = await fetch(`${cluster.url}/api/v1/raystream/key`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
  serverKeys = (await response.json()).keys;
  gateways = [await cluster.add('gateway', ...kQuick), await cluster.add('gateway', ...kQuick)];
});
after(async () => {
  await Promise.all(clients.map((client) => client.close()));
  assert.deepEqual(await cluster?.stop(), []);
});

/** One address for several gateways; each connection goes to the first one that takes it, from `first` on. */
async function balancer(t, kind) {
  const links = new Set();
  const b = { first: 0, made: 0, cut: () => links.forEach((near) => near.resetAndDestroy()) };
  const ports = () => gateways.map((_, i) => gateways[(b.first + i) % gateways.length]).map((g) => (kind === 'ws' ? g.port : g.raystreamPort));
  const server = net.createServer((near) => {
    links.add(near);
    near.on('error', () => {});
    near.on('close', () => links.delete(near));
    const to = (left) => {
      if (left.length === 0) return near.resetAndDestroy();
      const far = net.connect(left[0], '127.0.0.1');
      let up = false;
      far.on('connect', () => {
        up = true;
        b.made += 1;
        near.pipe(far).pipe(near);
      });
      far.on('error', () => (up ? near.resetAndDestroy() : to(left.slice(1))));
      far.on('close', () => up && near.resetAndDestroy());
      near.on('close', () => far.destroy());
    };
    to(ports());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  b.url = `${kind === 'ws' ? 'http' : 'tcp'}://127.0.0.1:${server.address().port}`;
  return b;
}

function connect(url, options = {}) {
  const client = raymesh({ url, apiKey: cluster.apiKey, webSocket: WebSocket, serverKeys, timeoutMs: 60_000, ...options });
  clients.push(client);
  return client;
}

for (const kind of ['ws', 'tcp']) {
  test(`${kind}: the gateway is killed, again and again: the session stays, and nothing that is read fails`, async (t) => {
    const lb = await balancer(t, kind);
    const client = connect(lb.url);
    const session = () => client.raystream.sessionId;
    await client.call('raystream.echo', 0);
    const id = session();
    assert.match(id, /^[0-9a-f-]{36}$/);
    for (let i = 1; i <= 4; ++i) {
      const reading = Array.from({ length: 20 }, (_, n) => client.call('raystream.echo', i * 100 + n));
      await gateways[lb.first].kill();
      assert.deepEqual(await Promise.all(reading), Array.from({ length: 20 }, (_, n) => i * 100 + n));
      assert.equal(session(), id, 'resumed');
      await gateways[lb.first].start();
      lb.first = 1 - lb.first;
    }
  });

  test(`${kind}: a network that breaks in every moment: the session stays`, async (t) => {
    const lb = await balancer(t, kind);
    const client = connect(lb.url);
    await client.call('raystream.echo', 0);
    const id = client.raystream.sessionId;
    let stop = false;
    const breaking = (async () => {
      while (!stop) {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
        lb.first = Math.floor(Math.random() * 2);
        lb.cut();
        const made = lb.made;
        await waitFor(() => lb.made > made || stop, 'another connection');
      }
    })();
    const key = randomBytes(6).toString('hex');
    await waitFor(() => lb.made > 15, 'connections that broke', 60_000);
    const reading = client.call('raystream.echo', key);
    stop = true;
    await breaking;
    assert.equal(await reading, key);
    assert.equal(client.raystream.sessionId, id, 'resumed every time');
  });
}
