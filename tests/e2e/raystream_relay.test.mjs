// What becomes of raystream subscriptions when realtime nodes and gateways die, stop or are slow; and who may speak to a node's relay.
// Separate processes, with two realtime nodes and Redis between them where history has to outlive one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { Code } from '../interop/raystream/frames.mjs';
import { startCluster } from '../support/cluster.mjs';
import { root } from '../support/paths.mjs';
import { waitFor } from '../support/processes.mjs';
import { callJson, connectRaystream, fetchPins } from '../support/raystream.mjs';

const kChannel = 2;
const Event = { MESSAGE: 4n, JOIN: 5n, LEAVE: 6n, RESET: 7n };
const unique = (name) => `${name}-${randomBytes(6).toString('hex')}`;
const jsonOf = (event) => JSON.parse(event.data);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const range = (n) => Array.from({ length: n }, (_, i) => i);

/** A cluster, with what a test needs of it. */
class Fixture {
  static async start(options) {
    const f = new Fixture();
    f.cluster = await startCluster('separate', options);
    f.pins = await fetchPins(f.cluster.url, f.cluster.apiKey);
    return f;
  }

  open = async (t, to = { port: this.cluster.raystreamPort }, token = '') => {
    const client = connectRaystream(to, { pins: this.pins });
    t.after(() => client.close());
    await client.ready;
    await client.attach(this.cluster.apiKey, token);
    return client;
  };

  api = async (method, path, body, url = this.cluster.url) => {
    const response = await fetch(`${url}/api/v1/realtime/${path}`, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { authorization: `Bearer ${this.cluster.apiKey}`, 'content-type': 'application/json' },
    });
    const json = await response.json();
    if (response.status !== 200) throw Object.assign(new Error(JSON.stringify(json)), { status: response.status, code: json.code });
    return json;
  };
  publish = (channel, payload) => this.api('POST', 'publish', { channel, payload });
  members = async (channel, url) => (await this.api('GET', `channels/${encodeURIComponent(channel)}/presence`, undefined, url)).presence;

  async metric(name, line) {
    const text = await (await fetch(`${this.cluster.ops[name]}/metrics`)).text();
    const found = text.split('\n').find((l) => l.startsWith(`${line} `));
    return found ? Number(found.slice(line.length + 1)) : 0;
  }

  /** Publishes numbers to all channels, one behind the other, until `stop` gives how many; one that failed is sent again. */
  load(channels) {
    let running = true;
    let n = 0;
    const done = (async () => {
      while (running) {
        await Promise.all(channels.map(async (channel) => {
          for (;;) {
            try {
              return await this.publish(channel, n);
            } catch {
              await pause(20);
            }
          }
        }));
        n += 1;
      }
    })();
    return { sent: () => n, stop: async () => { running = false; await done; return n; } };
  }
}

/** What came of a channel: numbers that rise, each at least once since a publish may be repeated, none twice by its position. */
function checkComplete(events, name, last) {
  const mine = events.filter((e) => e.name === name);
  assert.deepEqual([...new Set(mine.map((e) => e.type))], [Event.MESSAGE], `${name}: ${mine.filter((e) => e.type !== Event.MESSAGE).length} other events`);
  const offsets = mine.map((e) => e.position.readBigUInt64BE(0));
  offsets.forEach((o, i) => assert.equal(o, offsets[0] + BigInt(i), `${name}: a hole or a double at ${i}`));
  const numbers = new Set(mine.map(jsonOf));
  for (const n of range(last)) assert.ok(numbers.has(n), `${name}: ${n} of ${last} is missing`);
}

describe('two nodes and Redis', () => {
  let f;
  before(async () => {
    f = await Fixture.start({ realtimeNodes: 2, realtimeBroker: 'redis', realtimeFlags: ['--channel-rules', 'hist:* history=20000 history-ttl=10m', '--presence-timeout', '4s'] });
  });
  after(async () => assert.deepEqual(await f.cluster.stop(), []));

  test('channels are spread over the nodes, with one stream each', async (t) => {
    const client = await f.open(t);
    for (let i = 0; i < 40; ++i) await client.subscribe(kChannel, `spread:${i}`);
    assert.equal(await f.metric('gateway', 'raymesh_gateway_relay_streams'), 2);
    const of = await Promise.all(['realtime', 'realtime-2'].map((n) => f.metric(n, 'raymesh_realtime_subscriptions')));
    assert.equal(of[0] + of[1], 40);
    assert.ok(of.every((n) => n >= 5), `${of}`);
    for (const n of ['realtime', 'realtime-2']) assert.equal(await f.metric(n, 'raymesh_realtime_relay_streams'), 1);
    for (let i = 0; i < 40; ++i) assert.deepEqual(await f.publish(`spread:${i}`, i), { delivered: 1 });
    await waitFor(() => client.events.length === 40, 'all events');
  });

  test('a node that is killed, under load: every event comes once and in order, by the other node', async (t) => {
    const channels = range(12).map((i) => unique(`hist:kill${i}`));
    const sessions = await Promise.all(range(6).map(() => f.open(t)));
    for (const s of sessions) await Promise.all(channels.map((c) => s.subscribe(kChannel, c)));
    const load = f.load(channels);
    await waitFor(() => load.sent() > 20, 'some load');
    const before = await f.metric('gateway', 'raymesh_gateway_relay_resubscriptions_total');
    await f.cluster.services['realtime-2'].kill();
    const at = load.sent();
    await waitFor(() => load.sent() > at + 50, 'load without the node', 60_000);
    // It comes back, and the other one goes.
    await f.cluster.services['realtime-2'].start();
    await waitFor(() => load.sent() > at + 100, 'load with both', 60_000);
    await f.cluster.services.realtime.kill();
    const later = load.sent();
    await waitFor(() => load.sent() > later + 50, 'load without the first', 60_000);
    await f.cluster.services.realtime.start();
    const n = await load.stop();
    const complete = (s) => channels.every((c) => s.events.some((e) => e.name === c && jsonOf(e) === n - 1));
    await waitFor(() => sessions.every(complete), 'the last message everywhere', 60_000);
    for (const s of sessions) for (const c of channels) checkComplete(s.events, c, n);
    assert.ok(await f.metric('gateway', 'raymesh_gateway_relay_resubscriptions_total') >= before + 6 * 12);
    assert.equal(await f.metric('gateway', 'raymesh_gateway_relay_resets_total'), 0);
    for (const c of channels) await waitFor(async () => (await f.members(c)).length === 6, 'the dead nodes’ members to be gone', 30_000);
    for (const c of channels) assert.equal((await f.publish(c, 'all')).delivered, 6);
  });

  test('a node that is stopped hands over: nothing is lost, and watchers are told what they have not seen', async (t) => {
    const channel = unique('hist:stop');
    const session = await f.open(t);
    const watcher = await f.open(t);
    await session.subscribe(kChannel, channel);
    await watcher.subscribe(kChannel, channel, { presence: true });
    const load = f.load([channel]);
    await waitFor(() => load.sent() > 10, 'some load');
    for (const node of ['realtime', 'realtime-2']) {
      const { code } = await f.cluster.services[node].stop();
      assert.equal(code, 0);
      const at = load.sent();
      await waitFor(() => load.sent() > at + 20, 'load on the other node', 60_000);
      await f.cluster.services[node].start();
    }
    const n = await load.stop();
    await waitFor(() => [session, watcher].every((s) => s.events.some((e) => e.type === Event.MESSAGE && jsonOf(e) === n - 1)), 'the last message', 60_000);
    checkComplete(session.events, channel, n);
    checkComplete(watcher.events.filter((e) => e.type === Event.MESSAGE), channel, n);
    const resets = watcher.events.filter((e) => e.type === Event.RESET);
    assert.ok(resets.length >= 1);
    assert.ok(resets.every((e) => e.id === 'presence'));
  });

  test('a gateway that is killed takes its members with it', async (t) => {
    const channel = unique('hist:gateway');
    const second = await f.cluster.add('gateway');
    const stays = await f.open(t);
    await stays.subscribe(kChannel, channel, { presence: true });
    // Whether its own join is told to it, is a matter of chance with Redis.
    const [{ id: own }] = await f.members(channel);
    const seen = (type) => stays.events.filter((e) => e.type === type && e.id !== own).length;
    const goes = await Promise.all(range(3).map(() => f.open(t, { port: second.raystreamPort })));
    for (const g of goes) await g.subscribe(kChannel, channel);
    await waitFor(() => seen(Event.JOIN) === 3, 'the joins');
    assert.equal((await f.publish(channel, 1)).delivered, 4);
    await second.kill();
    await waitFor(async () => (await f.members(channel)).length === 1, 'the members to be gone');
    assert.equal((await f.publish(channel, 2)).delivered, 1);
    await waitFor(() => seen(Event.LEAVE) === 3 && seen(Event.MESSAGE) === 2, 'the leaves and both messages');
  });

  test('sessions of a gateway that is killed go on over another one, with every event of their subscriptions', async (t) => {
    const doomed = await f.cluster.add('gateway');
    const channels = range(4).map((i) => unique(`hist:resume${i}`));
    const sessions = await Promise.all(range(4).map(() => f.open(t, { port: doomed.raystreamPort })));
    for (const s of sessions) for (const c of channels) await s.subscribe(kChannel, c, { presence: c === channels[0] });
    const gone = unique('hist:gone');
    await sessions[0].subscribe(kChannel, gone);
    const load = f.load(channels);
    await waitFor(() => load.sent() > 20, 'some load');
    await sessions[0].subscribe(kChannel, gone, { on: false });
    // Known to the store as soon as it is answered.
    const last = unique('hist:last');
    for (const s of sessions) await s.subscribe(kChannel, last);
    await doomed.kill();
    await Promise.all(sessions.map((s) => s.ended));
    const at = load.sent();
    await waitFor(() => load.sent() > at + 20, 'load meanwhile', 60_000);
    await f.publish(last, 0);
    const all = [];
    for (const s of sessions) {
      const before = s.events.filter((e) => e.type === Event.MESSAGE);
      const position = (name) => before.filter((e) => e.name === name).at(-1)?.position;
      const next = connectRaystream({ port: f.cluster.raystreamPort }, { pins: f.pins, resume: { sessionId: s.sessionId, secret: Buffer.from(s.resumption) } });
      t.after(() => next.close());
      assert.equal((await next.ready).resumed, true);
      const named = [...channels, ...(s === sessions[0] ? [gone] : [])];
      const { ended } = await next.sendResume(named.map((name) => ({ kind: kChannel, name, position: position(name) ?? position(channels[0]), presence: name === channels[0] })));
      assert.deepEqual(ended.map((e) => e.name), s === sessions[0] ? [gone] : []);
      // One that was not named has ended.
      assert.equal((await next.subscribe(kChannel, last, { on: false }).then(() => undefined, (e) => e)).code, 'not_subscribed');
      all.push({ next, before });
    }
    const n = await load.stop();
    const events = ({ next, before }) => [...before, ...next.events.filter((e) => e.type === Event.MESSAGE)];
    await waitFor(() => all.every((one) => channels.every((c) => events(one).some((e) => e.name === c && jsonOf(e) === n - 1))), 'the last message everywhere', 60_000);
    for (const one of all) {
      for (const c of channels) checkComplete(events(one), c, n);
      const others = one.next.events.filter((e) => e.type !== Event.MESSAGE);
      assert.ok(others.every((e) => e.name === channels[0]), 'presence of one channel only');
      assert.equal(others[0].type, Event.RESET);
      assert.equal(others[0].id, 'presence');
    }
    for (const c of channels) await waitFor(async () => (await f.members(c)).length === 4, 'only those that live');
    // And once more: what goes on is stored, too.
    const [{ next }] = all;
    next.socket.destroy();
    const again = connectRaystream({ port: f.cluster.raystreamPort }, { pins: f.pins, resume: { sessionId: next.sessionId, secret: Buffer.from(next.resumption) } });
    t.after(() => again.close());
    assert.equal((await again.ready).resumed, true);
    const mine = channels.map((name) => ({ kind: kChannel, name, position: next.events.filter((e) => e.name === name).at(-1).position }));
    assert.deepEqual((await again.sendResume(mine)).ended, []);
    await f.publish(channels[1], 'again');
    await waitFor(() => again.events.length === 1, 'the new message');
    assert.equal(jsonOf(again.events[0]), 'again');
    // It may have come with what was missed; now that it is here, the session is a member again.
    await waitFor(async () => (await f.members(channels[1])).length === 4, 'the member that it was before to be gone');
    assert.equal((await f.publish(channels[1], 'and again')).delivered, 4);
    await waitFor(() => again.events.length === 2, 'the next message');
  });

  test('without any node SUBSCRIBE is refused, and those that there are wait and go on', async (t) => {
    const channel = unique('hist:none');
    const session = await f.open(t);
    await session.subscribe(kChannel, channel);
    await f.publish(channel, 0);
    await waitFor(() => session.events.length === 1, 'an event');
    await Promise.all(['realtime', 'realtime-2'].map((n) => f.cluster.services[n].kill()));
    const refused = await session.subscribe(kChannel, unique('hist:none')).then(() => assert.fail('answered'), (e) => e);
    assert.equal(refused.error_code, Code.SERVICE_UNAVAILABLE, refused.code);
    await Promise.all(['realtime', 'realtime-2'].map((n) => f.cluster.services[n].start()));
    const load = f.load([channel]);
    await waitFor(() => load.sent() > 20, 'some load', 60_000);
    const n = await load.stop();
    await waitFor(() => session.events.some((e) => jsonOf(e) === n - 1), 'the last message', 60_000);
    checkComplete(session.events, channel, n);
    await session.subscribe(kChannel, unique('hist:none'));
  });
});

describe('one node that remembers nothing', () => {
  let f;
  before(async () => (f = await Fixture.start({ realtimeFlags: ['--max-message-bytes', '2MiB'] })));
  after(async () => assert.deepEqual(await f.cluster.stop(), []));

  test('begun anew, it tells its sessions that they have missed something', async (t) => {
    const channel = unique('hist:memory');
    const sessions = await Promise.all(range(3).map(() => f.open(t)));
    for (const s of sessions) await s.subscribe(kChannel, channel);
    await f.publish(channel, 1);
    await waitFor(() => sessions.every((s) => s.events.length === 1), 'an event');
    await f.cluster.services.realtime.kill();
    await f.cluster.services.realtime.start();
    await waitFor(() => sessions.every((s) => s.events.length === 2), 'RESET', 60_000);
    for (const s of sessions) assert.equal(s.events[1].type, Event.RESET);
    await waitFor(async () => (await f.publish(channel, 2)).delivered === 3, 'a message to all', 60_000);
    await waitFor(() => sessions.every((s) => s.events.length === 3), 'the message');
    for (const s of sessions) assert.equal(jsonOf(s.events[2]), 2);
    assert.equal(await f.metric('gateway', 'raymesh_gateway_relay_resets_total'), 3);
  });

  test('a session that reads nothing ends, and holds up nobody', async (t) => {
    const gateway = await f.cluster.add('gateway', '--raystream-max-queued', '4MiB');
    const channel = unique('slow');
    const slow = await f.open(t, { port: gateway.raystreamPort });
    const fast = await Promise.all(range(4).map(() => f.open(t, { port: gateway.raystreamPort })));
    for (const s of [slow, ...fast]) await s.subscribe(kChannel, channel);
    slow.socket.pause();
    const text = 'x'.repeat(60_000);
    const count = 400;
    for (const i of range(count)) {
      await f.publish(channel, { i, text });
      // As fast as those who read.
      if (i % 20 === 0) await waitFor(() => fast.every((s) => s.events.length > i - 20), 'the others to get theirs');
    }
    await waitFor(() => fast.every((s) => s.events.length === count), 'all messages', 60_000);
    for (const s of fast) assert.deepEqual(s.events.map((e) => jsonOf(e).i), range(count));
    await waitFor(async () => (await f.members(channel)).length === 4, 'the slow one to be gone');
    const text2 = await (await fetch(`${new URL(gateway.readyUrl).origin}/metrics`)).text();
    assert.match(text2, /raymesh_gateway_raystream_closed_total\{code="slow"\} 1\n/);
  });

  test('events for sessions that do not read have one budget together', async (t) => {
    const gateway = await f.cluster.add('gateway', '--raystream-max-event-memory', '16MiB', '--raystream-max-queued', '1GiB');
    const channels = range(3).map(() => unique('slow'));
    const slow = await Promise.all(channels.map(() => f.open(t, { port: gateway.raystreamPort })));
    const fast = await f.open(t, { port: gateway.raystreamPort });
    for (const [i, channel] of channels.entries()) await slow[i].subscribe(kChannel, channel);
    for (const channel of channels) await fast.subscribe(kChannel, channel);
    for (const s of slow) s.socket.pause();
    // 20 MB each, of which their sockets take a part.
    const text = 'x'.repeat(500_000);
    for (const i of range(40)) {
      for (const channel of channels) await f.publish(channel, { i, text });
      await waitFor(() => fast.events.length === 3 * (i + 1), 'who reads to get it');
    }
    const ended = async () => Number((await (await fetch(`${new URL(gateway.readyUrl).origin}/metrics`)).text()).match(/raystream_closed_total\{code="slow"\} (\d+)/)?.[1] ?? 0);
    await waitFor(async () => (await ended()) > 0, 'one of them to end');
    for (const channel of channels) assert.deepEqual(fast.events.filter((e) => e.name === channel).map((e) => jsonOf(e).i), range(40));
  });

  test('a message above a frame of raystream is a RESET', async (t) => {
    const channel = unique('huge');
    const session = await f.open(t);
    await session.subscribe(kChannel, channel);
    await f.publish(channel, 'x'.repeat(1_100_000));
    await f.publish(channel, 'y'.repeat(900_000));
    await waitFor(() => session.events.length === 2, 'two events');
    assert.equal(session.events[0].type, Event.RESET);
    assert.equal(session.events[1].type, Event.MESSAGE);
    assert.equal(jsonOf(session.events[1]).length, 900_000);
  });

  test('the answer to SUBSCRIBE comes before its events, and nothing after the end, in the middle of a storm', async (t) => {
    const channel = unique('hist:storm');
    const session = await f.open(t);
    const load = f.load([channel]);
    for (let i = 0; i < 100; ++i) {
      const count = session.events.length;
      let answered = false;
      session.onEvent = () => assert.ok(answered, 'an event before the answer');
      const asked = session.subscribe(kChannel, channel);
      // Settles with the frame, before the next one is looked at.
      const call = [...session.calls.values()].at(-1);
      const { settle } = call;
      call.settle = (answer) => {
        answered = true;
        settle(answer);
      };
      await asked;
      if (i % 2) await waitFor(() => session.events.length > count, 'an event');
      await session.subscribe(kChannel, channel, { on: false });
      const after = session.events.length;
      await session.call('raystream.echo', Buffer.from('x'));
      assert.equal(session.events.length, after);
    }
    await load.stop();
    assert.deepEqual(await f.members(channel), []);
  });

  describe('the relay of a node', () => {
    const service = () => {
      const definition = loader.loadSync('raymesh/realtime/v1/realtime.proto', { includeDirs: [`${root}/proto`], keepCase: true, longs: Number, defaults: true });
      return grpc.loadPackageDefinition(definition).raymesh.realtime.v1.Realtime;
    };
    const connect = (t, role) => {
      const pem = (name) => readFileSync(join(f.cluster.certificates, name));
      const credentials = role ? grpc.credentials.createSsl(pem('ca.pem'), pem(`${role}-key.pem`), pem(`${role}.pem`)) : grpc.credentials.createSsl(pem('ca.pem'));
      const client = new (service())(f.cluster.grpc.realtime, credentials, { 'grpc.ssl_target_name_override': 'realtime.raymesh' });
      t.after(() => client.close());
      return client;
    };
    const ended = (stream) => new Promise((resolve) => {
      stream.on('data', () => {});
      stream.on('error', resolve);
      stream.on('end', () => resolve({ code: 0 }));
    });

    test('is for gateways alone', async (t) => {
      for (const role of ['storage', 'cli', 'realtime']) assert.equal((await ended(connect(t, role).Relay())).code, grpc.status.PERMISSION_DENIED, role);
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${f.cluster.serviceToken('dev')}`);
      assert.equal((await ended(connect(t, 'storage').Relay(metadata))).code, grpc.status.PERMISSION_DENIED);
      assert.notEqual((await ended(connect(t).Relay())).code, 0);
    });

    test('ends the stream of one that sends rubbish, and nothing else', async (t) => {
      const channel = unique('rubbish');
      const session = await f.open(t);
      await session.subscribe(kChannel, channel);
      const client = connect(t, 'gateway');
      const { path } = service().service.Relay;
      for (const bytes of [randomBytes(1000), Buffer.from([0x0a, 0x00]), Buffer.from([0x0a, 0x02, 0x0a, 0x00]), Buffer.alloc(100_000, 0x0a), Buffer.alloc(300_000)]) {
        const stream = client.makeBidiStreamRequest(path, (b) => b, (b) => b);
        const end = ended(stream);
        stream.write(bytes);
        const { code } = await end;
        assert.ok([grpc.status.INVALID_ARGUMENT, grpc.status.OUT_OF_RANGE].includes(code), `${code}`);
      }
      assert.deepEqual(await f.publish(channel, 1), { delivered: 1 });
      await waitFor(() => session.events.length === 1, 'the event');
    });
  });
});
