// Channels over raystream sessions, against `raymesh dev` and against separate processes: what a session gets, in which order, and what
// the others see of it. The client is the second implementation (tests/interop), so that what is served is what the protocol page says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { Code, Type } from '../interop/raystream/frames.mjs';
import { encode } from '../interop/raystream/messages.mjs';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';
import { callJson, connectRaystream, fetchPins } from '../support/raystream.mjs';

const kTable = 1;
const kChannel = 2;
const Event = { MESSAGE: 4n, JOIN: 5n, LEAVE: 6n, RESET: 7n, END: 8n };

const unique = (name) => `${name}-${randomBytes(6).toString('hex')}`;
const fails = async (promise, code, errorCode) => {
  const error = await promise.then((answer) => assert.fail(`answered ${JSON.stringify(answer)}`), (e) => e);
  assert.equal(error.code, code, `${error.code}: ${error.message}`);
  if (errorCode !== undefined) assert.equal(error.error_code, errorCode);
  return error;
};
const jsonOf = (event) => JSON.parse(event.data);

for (const mode of ['dev', 'separate'])
  describe(mode, () => {
    let cluster, pins, targets;
    before(async () => {
      cluster = await startCluster(mode);
      pins = await fetchPins(cluster.url, cluster.apiKey);
      targets = { WebSocket: { url: cluster.url }, TCP: { port: cluster.raystreamPort } };
    });
    after(async () => assert.deepEqual(await cluster.stop(), []));

    const open = async (t, { to = targets.WebSocket, token = '', key = cluster.apiKey } = {}) => {
      const client = connectRaystream(to, { pins });
      t.after(() => client.close());
      await client.ready;
      await client.attach(key, token);
      client.of = (name) => client.events.filter((e) => e.name === name);
      client.messages = (name) => client.of(name).filter((e) => e.type === Event.MESSAGE).map(jsonOf);
      return client;
    };
    const api = async (method, path, body, token) => {
      const response = await fetch(`${cluster.url}/api/v1/realtime/${path}`, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json', ...(token ? { 'x-access-token': token } : {}) },
      });
      const json = await response.json();
      assert.equal(response.status, 200, JSON.stringify(json));
      return json;
    };
    const publish = (channel, payload) => api('POST', 'publish', { channel, payload });
    const presence = async (channel) => (await api('GET', `channels/${encodeURIComponent(channel)}/presence`)).presence;
    const signup = async (client) => {
      const email = `${unique('u')}@example.com`;
      const password = 'correct horse battery';
      const { json } = await callJson(client, 'auth.signup', { email, password });
      const login = await callJson(client, 'auth.login', { email, password });
      return { id: json.userId, token: login.json.tokens.AccessToken };
    };

    for (const transport of ['WebSocket', 'TCP'])
      test(`${transport}: a message reaches who is subscribed, and counts as delivered; nothing comes after unsubscribing`, async (t) => {
        const client = await open(t, { to: targets[transport] });
        const channel = unique('room/ä');
        assert.deepEqual(await publish(channel, 0), { delivered: 0 });
        const { position } = await client.subscribe(kChannel, channel);
        assert.ok(position.length > 0);
        assert.deepEqual(await publish(channel, { n: 1 }), { delivered: 1 });
        // The session's own, too.
        assert.deepEqual((await callJson(client, 'realtime.publish', { channel, payload: [2, 'zwei'] })).json, { delivered: 1 });
        await waitFor(() => client.events.length === 2, 'two events');
        const [first, second] = client.events;
        assert.equal(first.kind, BigInt(kChannel));
        assert.equal(first.name, channel);
        assert.equal(first.type, Event.MESSAGE);
        assert.deepEqual(client.messages(channel), [{ n: 1 }, [2, 'zwei']]);
        assert.equal(new Set([position, first.position, second.position].map((p) => p.toString('hex'))).size, 3);
        await client.subscribe(kChannel, channel, { on: false });
        assert.deepEqual(await publish(channel, 3), { delivered: 0 });
        await client.call('raystream.echo', Buffer.from('x'));
        assert.equal(client.events.length, 2);
        // And again.
        await client.subscribe(kChannel, channel);
        assert.deepEqual(await publish(channel, 4), { delivered: 1 });
        await waitFor(() => client.events.length === 3, 'the third event');
      });

    test('sockets of the realtime service and sessions are in the same channels, in one order', async (t) => {
      const channel = unique('both');
      const sessions = await Promise.all(Array.from({ length: 5 }, () => open(t)));
      for (const [i, s] of sessions.entries()) await s.subscribe(kChannel, channel, { batches: i > 2, presence: i === 4 });
      const { token, url } = await api('POST', 'token', { channels: [channel] });
      const socket = new WebSocket(`${url}?token=${token}`, 'raymesh.realtime.v1');
      t.after(() => socket.terminate());
      const got = [];
      socket.on('message', (data) => {
        const event = JSON.parse(data);
        if (event.type === 'message') got.push(event.payload);
        if (event.type === 'messages') got.push(...event.payloads);
      });
      const subscribed = new Promise((resolve) => socket.on('message', (data) => JSON.parse(data).type === 'subscribed' && resolve()));
      socket.on('open', () => socket.send(JSON.stringify({ type: 'subscribe', id: 1, channel })));
      await subscribed;
      assert.equal((await presence(channel)).length, 6);
      assert.deepEqual(await publish(channel, 'all'), { delivered: 6 });
      const senders = [
        ...Array.from({ length: 100 }, (_, i) => () => publish(channel, `http ${i}`)),
        ...Array.from({ length: 100 }, (_, i) => async () => socket.send(JSON.stringify({ type: 'publish', channel, payload: `ws ${i}` }))),
        ...Array.from({ length: 100 }, (_, i) => () => callJson(sessions[0], 'realtime.publish', { channel, payload: `session ${i}` })),
      ];
      await Promise.all(senders.map((send) => send()));
      await waitFor(() => got.length === 301 && sessions.every((s) => s.messages(channel).length === 301), 'all messages everywhere');
      for (const s of sessions) assert.deepEqual(s.messages(channel), got);
      // Who has not asked for them gets no batches, and only who has asked for them gets members.
      for (const s of sessions.slice(0, 3)) assert.equal(s.frames, 301);
      for (const s of sessions.slice(0, 4)) assert.equal(s.events.length, 301);
      assert.ok(sessions[4].events.length > 301);
      assert.ok(sessions[3].frames <= 301);
    });

    test('who comes with a position gets what it missed and then what is new, once and in order, while others are live', async (t) => {
      const channel = unique('hist:seam');
      const first = await open(t);
      await first.subscribe(kChannel, channel);
      let n = 0;
      let running = true;
      const load = (async () => {
        while (running) await publish(channel, n++);
      })();
      const joiners = [];
      for (let i = 0; i < 12; ++i) {
        await waitFor(() => first.events.length >= 5 * (i + 1), 'events of the first session');
        const from = first.events.at(-3);
        const joiner = i % 3 === 2 ? joiners.at(-1).client : await open(t, { to: targets[i % 2 ? 'TCP' : 'WebSocket'] });
        if (i % 3 === 2) await joiner.subscribe(kChannel, channel, { on: false });
        const begin = joiner.events.length;
        const { position } = await joiner.subscribe(kChannel, channel, { from: from.position });
        assert.ok(position.equals(from.position));
        joiners.push({ client: joiner, begin, from: jsonOf(from) });
      }
      const joined = n;
      await waitFor(() => n >= joined + 20, 'messages after the last one has joined');
      running = false;
      await load;
      const last = n - 1;
      const ended = (events) => events.length > 0 && jsonOf(events.at(-1)) === last;
      await waitFor(() => [first, ...joiners.map((j) => j.client)].every((c) => ended(c.events)), 'the last message everywhere');
      assert.deepEqual(first.messages(channel), Array.from({ length: n }, (_, i) => i));
      for (const { client, begin, from } of joiners) {
        const other = joiners.find((j) => j.client === client && j.begin > begin);
        const mine = client.events.slice(begin, other?.begin);
        assert.ok(mine.every((e) => e.type === Event.MESSAGE));
        assert.deepEqual(mine.map(jsonOf), Array.from({ length: mine.length }, (_, i) => from + 1 + i));
        if (!other) assert.equal(from + mine.length, last);
      }
      // Positions are the same for everybody.
      const positions = new Map(first.events.map((e) => [jsonOf(e), e.position.toString('hex')]));
      for (const { client } of joiners) for (const e of client.events) assert.equal(positions.get(jsonOf(e)), e.position.toString('hex'));
    });

    test('RESET when what was missed is not kept; not when nothing was', async (t) => {
      const client = await open(t);
      const channel = unique('short');
      // Somebody who stays, so that the channel goes on.
      await (await open(t)).subscribe(kChannel, channel);
      await client.subscribe(kChannel, channel);
      await publish(channel, 1);
      await waitFor(() => client.events.length === 1, 'an event');
      const { position } = client.events[0];
      await client.subscribe(kChannel, channel, { on: false });
      await client.subscribe(kChannel, channel, { from: position });
      await client.subscribe(kChannel, channel, { on: false });
      assert.equal(client.events.length, 1);
      await publish(channel, 2);
      const answer = await client.subscribe(kChannel, channel, { from: position });
      await publish(channel, 3);
      await waitFor(() => client.events.length === 3, 'two more events');
      assert.equal(client.events[1].type, Event.RESET);
      assert.ok(client.events[1].position.equals(answer.position));
      assert.ok(!answer.position.equals(position));
      assert.deepEqual(jsonOf(client.events[2]), 3);
      // A position of another life of the channel.
      await client.subscribe(kChannel, channel, { on: false });
      const foreign = Buffer.concat([position.subarray(0, 8), Buffer.from('0123456789abcdef')]);
      await client.subscribe(kChannel, channel, { from: foreign });
      await waitFor(() => client.events.length === 4, 'RESET');
      assert.equal(client.events[3].type, Event.RESET);
    });

    test('presence: each session is a member with its user as identity; JOIN and LEAVE for those who ask', async (t) => {
      const channel = unique('presence');
      const watcher = await open(t);
      const blind = await open(t);
      await watcher.subscribe(kChannel, channel, { presence: true });
      await blind.subscribe(kChannel, channel);
      const user = await signup(watcher);
      const guest = await open(t, { token: user.token });
      await guest.subscribe(kChannel, channel);
      let members = await presence(channel);
      assert.equal(members.length, 3);
      const [mine] = members.filter((m) => m.identity === user.id);
      assert.ok(mine, JSON.stringify(members));
      assert.equal(members.filter((m) => m.identity === undefined).length, 2);
      await waitFor(() => watcher.events.length === 3, 'three joins');
      assert.deepEqual(watcher.events.map((e) => e.type), [Event.JOIN, Event.JOIN, Event.JOIN]);
      const join = watcher.events[2];
      assert.equal(join.id, mine.id);
      assert.deepEqual(jsonOf(join), { id: mine.id, identity: user.id });
      await guest.subscribe(kChannel, channel, { on: false });
      await waitFor(() => watcher.events.length === 4, 'a leave');
      assert.equal(watcher.events[3].type, Event.LEAVE);
      assert.equal(watcher.events[3].id, mine.id);
      await waitFor(async () => (await presence(channel)).length === 2, 'the member to be gone');
      // With a clean end, and without a word.
      await guest.subscribe(kChannel, channel);
      await waitFor(async () => (await presence(channel)).length === 3, 'the member');
      guest.close();
      await waitFor(async () => (await presence(channel)).length === 2, 'the member to be gone');
      blind.socket.terminate();
      await waitFor(async () => (await presence(channel)).length === 1, 'the other member to be gone');
      assert.deepEqual(blind.events, []);
      await waitFor(() => watcher.events.length === 7, 'all joins and leaves');
      assert.deepEqual(watcher.events.slice(4).map((e) => e.type), [Event.JOIN, Event.LEAVE, Event.LEAVE]);
      // What is a place in the channel stays one.
      assert.ok(watcher.events.every((e) => e.position.length > 0));
    });

    test('what cannot be subscribed to is refused, and the session goes on', async (t) => {
      const client = await open(t);
      assert.match((await fails(client.subscribe(kTable, 'users'), 'not_found', Code.NOT_FOUND)).message, /change feed/);
      await fails(client.subscribe(0, 'x'), 'invalid_request', Code.INVALID_REQUEST);
      await fails(client.subscribe(7, 'x'), 'invalid_request', Code.INVALID_REQUEST);
      await fails(client.subscribe(kChannel, ''), 'invalid_channel', Code.INVALID_REQUEST);
      await fails(client.subscribe(kChannel, 'x'.repeat(201)), 'invalid_channel', Code.INVALID_REQUEST);
      await fails(client.subscribe(kChannel, 'x'.repeat(60_000)), 'invalid_channel', Code.INVALID_REQUEST);
      await fails(client.subscribe(kChannel, 'a\nb'), 'invalid_channel', Code.INVALID_REQUEST);
      await fails(client.subscribe(kChannel, 'x', { on: false }), 'not_subscribed', Code.CONFLICT);
      for (const from of [Buffer.from('1'), randomBytes(8), Buffer.concat([randomBytes(8), Buffer.from('\0')]), randomBytes(5000)])
        await fails(client.subscribe(kChannel, 'x', { from }), 'invalid_request', Code.INVALID_REQUEST);
      await client.subscribe(kChannel, 'x');
      await fails(client.subscribe(kChannel, 'x'), 'already_subscribed', Code.CONFLICT);
      for (let i = 1; i < 100; ++i) await client.subscribe(kChannel, `x${i}`);
      await fails(client.subscribe(kChannel, 'one-more'), 'too_many_subscriptions', Code.RATE_LIMITED);
      await client.subscribe(kChannel, 'x', { on: false });
      await client.subscribe(kChannel, 'one-more');
      // There is no call that does this.
      await fails(client.call('subscribe', Buffer.alloc(0)), 'not_found');
      assert.deepEqual(client.events, []);
      // A call_id that is open, and none.
      const broken = await open(t);
      broken.send(Type.SUBSCRIBE, encode('Subscribe', { call_id: 0, kind: kChannel, name: 'x', on: true }));
      assert.equal((await broken.ended).code, Code.INVALID_REQUEST);
    });

    test('channels of another project are others', async (t) => {
      const mine = await open(t);
      const theirs = await open(t, { key: cluster.otherApiKey });
      const channel = unique('same-name');
      await mine.subscribe(kChannel, channel);
      await theirs.subscribe(kChannel, channel);
      assert.deepEqual(await publish(channel, 1), { delivered: 1 });
      assert.deepEqual((await callJson(theirs, 'realtime.publish', { channel, payload: 2 })).json, { delivered: 1 });
      await waitFor(() => mine.events.length === 1 && theirs.events.length === 1, 'one event each');
      assert.deepEqual(mine.messages(channel), [1]);
      assert.deepEqual(theirs.messages(channel), [2]);
    });

    test('END when a channel or an identity is revoked', async (t) => {
      const client = await open(t);
      const user = await signup(client);
      const guest = await open(t, { token: user.token });
      const [channel, other] = [unique('revoked'), unique('kept')];
      for (const c of [client, guest]) for (const name of [channel, other]) await c.subscribe(kChannel, name);
      assert.equal((await api('POST', 'revoke', { channel })).closed, 2);
      await waitFor(() => client.events.length === 1 && guest.events.length === 1, 'END');
      assert.equal(client.events[0].type, Event.END);
      assert.equal(client.events[0].name, channel);
      assert.deepEqual(await publish(channel, 1), { delivered: 0 });
      assert.deepEqual(await publish(other, 1), { delivered: 2 });
      assert.equal((await api('POST', 'revoke', { identity: user.id })).closed, 1);
      const second = Math.floor(Date.now() / 1_000);
      await waitFor(() => guest.of(other).length === 2, 'END of the other one');
      assert.equal(guest.of(other)[1].type, Event.END);
      assert.deepEqual(await publish(other, 2), { delivered: 1 });
      // A new one is none of those that were revoked: of the same second it might be one.
      await waitFor(() => Date.now() >= (second + 1) * 1_000, 'the next second');
      await guest.subscribe(kChannel, other);
      assert.deepEqual(await publish(other, 3), { delivered: 2 });
    });

    test('large messages, and many at once, reach many sessions', async (t) => {
      const channel = unique('many');
      const sessions = await Promise.all(Array.from({ length: 40 }, (_, i) => open(t, { to: targets[i % 2 ? 'TCP' : 'WebSocket'] })));
      // Half of them take several events in a frame.
      await Promise.all(sessions.map((s, i) => s.subscribe(kChannel, channel, { batches: i % 4 > 1 })));
      const large = randomBytes(45_000).toString('base64');
      const count = 60;
      const answers = await Promise.all(Array.from({ length: count }, (_, i) => publish(channel, { i, large })));
      assert.ok(answers.every(({ delivered }) => delivered === sessions.length));
      await waitFor(() => sessions.every((s) => s.events.length === count), 'all of them', 60_000);
      const order = sessions[0].messages(channel).map((m) => m.i);
      for (const s of sessions) {
        assert.deepEqual(s.messages(channel).map((m) => m.i), order);
        assert.ok(s.messages(channel).every((m) => m.large === large));
      }
    });
  });
