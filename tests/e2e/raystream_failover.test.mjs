// clients/js and clients/cpp, and two gateways behind one address, as a load balancer would have them: the session goes on when the gateway that has it is
// killed, or the network breaks.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Session } from '../../clients/cpp/tests/driver.mjs';
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
  assert.deepEqual(await cluster?.stop(), []);
});

/** One address for several gateways; each connection goes to the first one that takes it, from `first` on. */
async function balancer(t, kind) {
  const links = new Set();
  const b = { first: 0, made: 0, cut: () => links.forEach((near) => near.destroy()) };
  const ports = () => gateways.map((_, i) => gateways[(b.first + i) % gateways.length]).map((g) => (kind === 'ws' ? g.port : g.raystreamPort));
  const server = net.createServer((near) => {
    links.add(near);
    near.on('error', () => {});
    near.on('close', () => links.delete(near));
    const to = (left) => {
      if (left.length === 0) return near.destroy();
      if (near.destroyed) return;
      const far = net.connect(left[0], '127.0.0.1');
      let up = false;
      far.on('connect', () => {
        up = true;
        b.made += 1;
        near.pipe(far).pipe(near);
      });
      far.on('error', () => !up && to(left.slice(1)));
      far.on('close', () => up && near.destroy());
      near.on('close', () => far.destroy());
    };
    to(ports());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    server.close();
    links.forEach((near) => near.destroy());
  });
  b.url = `${kind === 'ws' ? 'http' : 'tcp'}://127.0.0.1:${server.address().port}`;
  return b;
}

/** Either client: call, sessionId, subscribe (with ready and next), close. */
const languages = {
  js(options) {
    const client = raymesh({ ...options, webSocket: WebSocket });
    return { call: (...args) => client.call(...args), sessionId: async () => client.raystream.sessionId, subscribe: (name) => client.realtime.subscribe(name), close: () => client.close() };
  },
  cpp(options) {
    const session = new Session(options);
    return { call: (...args) => session.call(...args), sessionId: async () => (await session.status()).sessionId, subscribe: (name) => session.subscribe(name), close: () => session.quit() };
  },
};

function connect(language, url) {
  const client = languages[language]({ url, apiKey: cluster.apiKey, serverKeys, timeoutMs: 120_000 });
  clients.push(client);
  return client;
}

for (const [language, kind] of [['js', 'ws'], ['js', 'tcp'], ['cpp', 'ws'], ['cpp', 'tcp']]) {
  test(`${language}, ${kind}: the gateway is killed, again and again: the session stays, and nothing that is read fails`, async (t) => {
    const lb = await balancer(t, kind);
    const client = connect(language, lb.url);
    const session = () => client.sessionId();
    await client.call('raystream.echo', 0);
    const id = await session();
    assert.match(id, /^[0-9a-f-]{36}$/);
    for (let i = 1; i <= 4; ++i) {
      const reading = Array.from({ length: 20 }, (_, n) => client.call('raystream.echo', i * 100 + n));
      await gateways[lb.first].kill();
      assert.deepEqual(await Promise.all(reading), Array.from({ length: 20 }, (_, n) => i * 100 + n));
      assert.equal(await session(), id, 'resumed');
      await gateways[lb.first].start();
      lb.first = 1 - lb.first;
    }
  });

  test(`${language}, ${kind}: a network that breaks in every moment: the session stays`, async (t) => {
    const lb = await balancer(t, kind);
    const client = connect(language, lb.url);
    await client.call('raystream.echo', 0);
    const id = await client.sessionId();
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
    // Few: a client whose connections do not last waits longer and longer.
    await waitFor(() => lb.made > 6, 'connections that broke', 120_000);
    const reading = client.call('raystream.echo', key);
    stop = true;
    await breaking;
    assert.equal(await reading, key);
    assert.equal(await client.sessionId(), id, 'resumed every time');
  });

  test(`${language}, ${kind}: a subscription under a publisher: every event once and in order, though its gateway is killed again and again`, async (t) => {
    const lb = await balancer(t, kind);
    const client = connect(language, lb.url);
    const channel = `hist:${randomBytes(6).toString('hex')}`;
    const subscription = client.subscribe(channel);
    await subscription.ready;
    const id = await client.sessionId();
    const got = [];
    const reading = (async () => {
      for (;;) {
        const { value: event } = await subscription.next();
        assert.equal(event.type, 'message');
        if (event.data === 'end') return;
        got.push(event.data);
      }
    })();
    let sent = 0;
    let stop = false;
    const publish = async (payload) => {
      const response = await fetch(`${cluster.url}/api/v1/realtime/publish`, {
        method: 'POST',
        body: JSON.stringify({ channel, payload }),
        headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json' },
      });
      assert.equal(response.status, 200, await response.text());
      // No more than the history holds while a client is away.
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const publishing = (async () => {
      while (!stop) await publish(sent++);
    })();
    for (let i = 0; i < 4; ++i) {
      const seen = got.length;
      await waitFor(() => got.length > seen + 3, 'events');
      await gateways[lb.first].kill();
      lb.first = 1 - lb.first;
      await waitFor(() => got.length > seen + 6, 'events over the other gateway');
      await gateways[1 - lb.first].start();
    }
    stop = true;
    await publishing;
    await publish('end');
    await reading;
    assert.deepEqual(got, Array.from({ length: sent }, (_, i) => i));
    assert.equal(await client.sessionId(), id, 'resumed every time');
  });
}
