// Resumption of raystream sessions with real gateways, a real cache service and a real Redis: on the same gateway and on another one, after
// kill -9, against an owner that still lives, and against everybody who should not be able to. The client is the second implementation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Code, Type } from '../interop/raystream/frames.mjs';
import { encode } from '../interop/raystream/messages.mjs';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';
import { callJson, connectRaystream, fetchPins } from '../support/raystream.mjs';

// What counts the time of sessions here: seconds of the protocol page are hundredths, so that a test sees a life end.
const kQuick = ['--timer-tick', '10ms', '--raystream-check-period', '50ms'];

let cluster, pins, here, there;
before(async () => {
  cluster = await startCluster('separate');
  pins = await fetchPins(cluster.url, cluster.apiKey);
  here = { port: cluster.raystreamPort };
  const second = await cluster.add('gateway', ...kQuick);
  there = { port: second.raystreamPort, service: second };
});
after(async () => assert.deepEqual(await cluster?.stop(), []));

const state = (...command) => cluster.redis[1].command('', ...command);
const record = (client) => `rs:${client.sessionId}`;
const stored = (client) => state('EXISTS', record(client)) === '1';
const generation = (client) => Number(state('HGET', record(client), 'g'));
/** The secret of before has been dropped: the store knows that the client of this generation has gone on. */
const confirmed = (client) => Number(state('HGET', record(client), 'c')) === generation(client);

async function shake(t, to, resume) {
  const client = connectRaystream(to, { pins, resume });
  t.after(() => client.close());
  await client.ready;
  return client;
}

async function attached(t, to, { key = cluster.apiKey, token = '' } = {}) {
  const client = await shake(t, to);
  await client.attach(key, token);
  return client;
}

/** What a client keeps of its session. */
const kept = (client) => ({ sessionId: client.sessionId, secret: Buffer.from(client.resumption) });

async function resumed(t, to, resume, subscriptions = []) {
  const client = await shake(t, to, resume);
  assert.equal(client.resumed, true, 'the handshake says resumed');
  const answer = await client.sendResume(subscriptions);
  return Object.assign(client, { answer });
}

async function notResumed(t, to, resume) {
  const client = await shake(t, to, resume);
  assert.equal(client.resumed, false);
  assert.notEqual(client.sessionId, resume.sessionId);
  return client;
}

const works = async (client) => assert.equal((await callJson(client, 'info')).json.project.id, cluster.project);

const end = async (client) => {
  const why = await client.ended;
  return [why.by, why.code];
};

const metric = async (service, pattern) => Number((await (await fetch(service.readyUrl.replace('readyz', 'metrics'))).text()).match(pattern)?.[1] ?? 0);
const outcome = (service, name) => metric(service, new RegExp(`raystream_resumptions_total\\{outcome="${name}"\\} (\\d+)`));

// A second connection may come while the first one still lives, or after it has broken.
for (const [where, to] of [['the same gateway', () => here], ['another gateway', () => there]])
  for (const transport of ['TCP', 'WebSocket'])
    test(`a session whose connection broke goes on over ${where}, ${transport}`, async (t) => {
      const target = transport === 'TCP' ? to() : { url: to() === here ? cluster.url : `http://127.0.0.1:${there.service.port}` };
      const first = await attached(t, here);
      assert.ok(stored(first), 'stored before the answer to auth.attach');
      first.socket.destroy();
      let secret = kept(first);
      for (let i = 0; i < 3; ++i) {
        const next = await resumed(t, target, secret);
        assert.equal(next.sessionId, first.sessionId);
        await works(next);
        assert.equal(generation(next), i + 2);
        assert.ok(Number(next.answer.expires_at) > Date.now() + 200_000);
        assert.deepEqual(next.answer.ended, []);
        secret = kept(next);
        next.transport.end();
      }
    });

for (const [where, to] of [['on the same gateway', () => here], ['on another gateway', () => there]])
  test(`the connection that had the session is told CONFLICT at once, ${where}`, async (t) => {
    const first = await attached(t, here);
    const second = await resumed(t, to(), kept(first));
    const since = Date.now();
    assert.deepEqual(await end(first), ['peer', Code.CONFLICT]);
    t.diagnostic(`fenced after ${Date.now() - since} ms`);
    await works(second);
    assert.ok((await metric(cluster.services.gateway, /raystream_fenced_total (\d+)/)) > 0);
  });

test('a gateway that is killed with SIGKILL loses nothing: its sessions go on over another one, and over its successor', async (t) => {
  const doomed = await cluster.add('gateway', ...kQuick);
  const clients = await Promise.all(Array.from({ length: 20 }, () => attached(t, { port: doomed.raystreamPort })));
  await doomed.kill();
  await Promise.all(clients.map((client) => client.ended));
  await doomed.start();
  await Promise.all(clients.map(async (client, i) => {
    const next = await resumed(t, i % 2 ? there : { port: doomed.raystreamPort }, kept(client));
    await works(next);
  }));
});

test('a lost answer to RESUME costs nothing, however often: the old secret resumes again, on any gateway', async (t) => {
  const first = await attached(t, here);
  const secret = kept(first);
  for (let i = 0; i < 6; ++i) {
    const next = await shake(t, i % 2 ? here : there, secret);
    assert.equal(next.resumed, true, `try ${i}`);
    next.receive = () => {};  // nothing that comes is read
    next.sendResume().catch(() => {});
    await waitFor(() => generation(first) === i + 2, 'the generation to be raised');
    next.socket.destroy();
  }
  const last = await resumed(t, there, secret);
  await works(last);
});

test('with the next frame after RESUME the old secret is worth nothing', async (t) => {
  const first = await attached(t, here);
  const old = kept(first);
  const second = await resumed(t, there, old);
  assert.ok(!confirmed(first), 'not before that frame');
  second.heartbeat();
  await works(second);
  await waitFor(() => confirmed(first), 'the old secret to be dropped');
  const stranger = await notResumed(t, here, old);
  await stranger.attach(cluster.apiKey);
  await works(second);
  const third = await resumed(t, here, kept(second));
  assert.ok(!confirmed(first), 'the next resumption has an old secret of its own');
  third.socket.destroy();
  await works(await resumed(t, there, kept(second)));
});

test('a resumption writes the session once: the old secrets of many go together, of connections that have broken since, too', async (t) => {
  const stats = async () => Object.fromEntries(await Promise.all(['stored', 'confirmed'].map(async (result) => [result, await metric(cluster.services.cache, new RegExp(`cache_sessions_total\\{result="${result}"\\} (\\d+)`))])));
  const gateway = await cluster.add('gateway', '--raystream-fence-period', '1s');
  const all = await Promise.all(Array.from({ length: 50 }, () => attached(t, here)));
  const before = await stats();
  await Promise.all(all.map(async (first, i) => {
    const next = await resumed(t, { port: gateway.raystreamPort }, kept(first));
    next.heartbeat();
    await works(next);
    if (i % 2) next.socket.destroy();
  }));
  await waitFor(() => all.every(confirmed), 'the old secrets to be dropped');
  await waitFor(async () => (await stats()).confirmed === before.confirmed + 50, 'each to be counted once');
  assert.equal((await stats()).stored, before.stored + 50);
  for (const first of all.slice(0, 4)) await notResumed(t, here, kept(first));
});

test('an old secret that cannot be dropped, because the cache service is away, is dropped when it is back', async (t) => {
  const first = await attached(t, here);
  const next = await resumed(t, here, kept(first));
  const cache = cluster.services.cache;
  await cache.kill();
  await works(next);
  next.socket.destroy();
  await next.ended;
  assert.ok(!confirmed(first));
  await cache.start();
  await waitFor(() => confirmed(first), 'the old secret to be dropped', 30_000);
  await notResumed(t, here, kept(first));
  await works(await resumed(t, there, kept(next)));
});

test('of two clients that resume one session the second to send RESUME has it', async (t) => {
  for (const [one, other] of [[here, there], [there, here], [here, here]]) {
    const first = await attached(t, here);
    const secret = kept(first);
    const [a, b] = [await shake(t, one, secret), await shake(t, other, secret)];
    assert.ok(a.resumed && b.resumed);
    await a.sendResume();
    await b.sendResume();
    assert.deepEqual(await end(a), ['peer', Code.CONFLICT]);
    assert.deepEqual(await end(first), ['peer', Code.CONFLICT]);
    await works(b);
    assert.equal(generation(first), 3);
  }
});

test('who shook hands and comes with RESUME after the owner has gone on is told CONFLICT', async (t) => {
  const first = await attached(t, here);
  const secret = kept(first);
  const late = await shake(t, there, secret);
  const owner = await resumed(t, here, secret);
  await works(owner);
  await waitFor(() => confirmed(first), 'the old secret to be dropped');
  await assert.rejects(late.sendResume());
  assert.deepEqual(await end(late), ['peer', Code.CONFLICT]);
  await works(owner);
});

test('who shook hands with the old secret while it was good, and comes with RESUME after the owner has gone on, is told CONFLICT', async (t) => {
  const first = await attached(t, here);
  const secret = kept(first);
  const owner = await resumed(t, here, secret);
  const late = await shake(t, there, secret);
  assert.ok(late.resumed && !confirmed(first));
  await works(owner);
  await waitFor(() => confirmed(first), 'the old secret to be dropped');
  await assert.rejects(late.sendResume());
  assert.deepEqual(await end(late), ['peer', Code.CONFLICT]);
  assert.equal(generation(first), 2);
  await works(owner);
});

test('many clients at once: one has the session in the end, and it is resumed by whoever holds the newest secret', async (t) => {
  const first = await attached(t, here);
  const clients = await Promise.all(Array.from({ length: 8 }, (_, i) => shake(t, i % 2 ? here : there, kept(first))));
  const answers = await Promise.allSettled(clients.map((client) => client.sendResume()));
  const alive = () => clients.filter((client) => client.state === 'attached');
  await waitFor(() => alive().length === 1, 'all but one to be told CONFLICT');
  assert.ok(answers.some((a) => a.status === 'fulfilled'));
  for (const client of clients) if (client !== alive()[0]) assert.equal((await client.ended).code, Code.CONFLICT);
  await works(alive()[0]);
  await works(await resumed(t, there, kept(alive()[0])));
});

test('a forged binder burns nothing, and looks like a session that there is not', async (t) => {
  const first = await attached(t, here);
  const before = state('HGETALL', record(first));
  const gateway = cluster.services.gateway;
  const forged = await outcome(gateway, 'forged');
  for (let i = 0; i < 20; ++i) await notResumed(t, here, { sessionId: first.sessionId, secret: randomBytes(32) });
  assert.equal(await outcome(gateway, 'forged'), forged + 20);
  const unknown = await outcome(gateway, 'unknown');
  await notResumed(t, here, { sessionId: '018f0000-0000-7000-8000-000000000000', secret: randomBytes(32) });
  assert.equal(await outcome(gateway, 'unknown'), unknown + 1);
  assert.equal(state('HGETALL', record(first)), before);
  await works(first);
  await works(await resumed(t, there, kept(first)));
});

test("another project's session, or its own under another name, is not to be had", async (t) => {
  const mine = await attached(t, here);
  const theirs = await attached(t, here, { key: cluster.otherApiKey });
  await notResumed(t, there, { sessionId: mine.sessionId, secret: kept(theirs).secret });
  const next = await resumed(t, there, kept(theirs));
  assert.equal((await callJson(next, 'info')).json.project.id, cluster.otherProject);
  await works(mine);
});

test('an INIT that somebody else repeats changes nothing', async (t) => {
  const first = await attached(t, here);
  const owner = await shake(t, there, kept(first));
  const before = state('HGETALL', record(first));
  for (const target of [here, there]) {
    const socket = net.connect(target.port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.write(owner.init);
    const answer = await new Promise((resolve) => socket.once('data', resolve));
    assert.equal(answer[1], Type.RESPONSE);
    // What it may say is nothing that it could encrypt.
    socket.write(Buffer.concat([Buffer.from([1, Type.RESUME, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(11), Buffer.from([1]), Buffer.alloc(16)]));
    await new Promise((resolve) => socket.once('close', resolve));
  }
  assert.equal(state('HGETALL', record(first)), before);
  await works(first);
  await owner.sendResume();
  await works(owner);
});

test('a session that was ended with CLOSE 0 is not resumed, nor by a connection that had lost it', async (t) => {
  const first = await attached(t, here);
  first.close();
  await waitFor(() => !stored(first), 'the record to go');
  await notResumed(t, there, kept(first));

  // The owner of before has not heard of it yet: a gateway that asks once a minute.
  const slow = await cluster.add('gateway', ...kQuick, '--raystream-fence-period', '1m', '--raystream-life', '2s');
  const old = await attached(t, { port: slow.raystreamPort });
  const next = await resumed(t, here, kept(old));
  next.close();
  await waitFor(() => state('HGET', record(old), 'g') === '9007199254740991', 'the mark');
  const beat = setInterval(() => old.state === 'attached' && old.heartbeat(), 100);
  t.after(() => clearInterval(beat));
  assert.deepEqual(await end(old), ['peer', Code.CONFLICT], 'its next write is refused');
  await notResumed(t, there, kept(next));
  await notResumed(t, there, kept(old));
});

test('a session that was not attached is not resumed', async (t) => {
  const client = await shake(t, here);
  const secret = { sessionId: client.sessionId, secret: Buffer.from(client.resumption) };
  client.socket.destroy();
  await notResumed(t, here, secret);
});

test('a key that was revoked meanwhile: UNAUTHORIZED, and the session is over', async (t) => {
  const { id, key } = cluster.createKey('--name', 'soon-gone');
  const first = await attached(t, here, { key });
  first.socket.destroy();
  cluster.raymesh('key', 'revoke', id, ...cluster.admin);
  // A gateway that has never seen it asks auth.
  const next = await shake(t, there, kept(first));
  assert.equal(next.resumed, true);
  await assert.rejects(next.sendResume());
  assert.deepEqual(await end(next), ['peer', Code.UNAUTHORIZED]);
  await waitFor(() => state('HEXISTS', record(first), 's') === '0', 'the state to be gone');
  await notResumed(t, there, kept(first));
});

test('what a key may do is what it may do now, not when the session was attached', async (t) => {
  const { id, key } = cluster.createKey('--name', 'soon-less');
  const first = await attached(t, here, { key });
  assert.equal((await callJson(first, 'db.migrate', { sql: 'SELECT 1' })).json.success, true);
  first.socket.destroy();
  cluster.postgres.sql(`UPDATE raymesh_auth.api_keys SET role = 'viewer' WHERE id = '${id}'`);
  const next = await resumed(t, there, kept(first));
  await assert.rejects(callJson(next, 'db.migrate', { sql: 'SELECT 1' }), (error) => error.code === 'permission_denied');
  await works(next);
});

test('the largest RESUME is answered, also when nothing of it goes on', async (t) => {
  const first = await attached(t, here);
  first.socket.destroy();
  const position = Buffer.concat([Buffer.alloc(8), Buffer.from('abc')]);
  const one = (name) => ({ kind: 2, name, position });
  const bytes = (subscriptions) => encode('Resume', { subscriptions }).length;
  const subscriptions = [];
  while (bytes([...subscriptions, one('c'.repeat(100))]) <= 16_384) subscriptions.push(one(`${subscriptions.length}`.padEnd(100, 'c')));
  while (bytes(subscriptions) < 16_384) subscriptions[subscriptions[0].name.length < 200 ? 0 : 1].name += 'c';
  assert.equal(bytes(subscriptions), 16_384);
  const next = await resumed(t, there, kept(first), subscriptions);
  assert.deepEqual(next.answer.ended.map((s) => s.name), subscriptions.map((s) => s.name));
  await works(next);
});

test('a user who has signed out meanwhile: UNAUTHORIZED; a user who has not goes on as that user', async (t) => {
  const admin = await attached(t, here);
  const email = `${randomBytes(6).toString('hex')}@example.com`;
  await callJson(admin, 'auth.signup', { email, password: 'correct horse battery' });
  const login = async () => (await callJson(admin, 'auth.login', { email, password: 'correct horse battery' })).json;
  const { tokens, userId } = await login();
  const first = await attached(t, here, { token: tokens.AccessToken });
  first.socket.destroy();
  const next = await resumed(t, there, kept(first));
  assert.equal((await callJson(next, 'auth.me')).json.user.id, userId);
  next.socket.destroy();
  const session = JSON.parse(Buffer.from(tokens.AccessToken.split('.')[1], 'base64url')).jti;
  cluster.postgres.sql(`UPDATE raymesh_auth.sessions SET revoked_at = now() WHERE jti = '${session}'`);
  const last = await shake(t, here, kept(next));
  assert.equal(last.resumed, true);
  await assert.rejects(last.sendResume());
  assert.deepEqual(await end(last), ['peer', Code.UNAUTHORIZED]);
  await notResumed(t, here, kept(next));
});

test('a life that is over, and the longest life over all resumptions', async (t) => {
  const short = await cluster.add('gateway', ...kQuick, '--raystream-life', '1s');
  const target = { port: short.raystreamPort };
  const first = await attached(t, target);
  first.socket.destroy();
  await waitFor(() => !stored(first), 'the record to end by itself');
  await notResumed(t, target, kept(first));

  const strict = await cluster.add('gateway', ...kQuick, '--raystream-longest-life', '3s');
  const also = { port: strict.raystreamPort };
  const began = Date.now();
  let client = await attached(t, also);
  for (let i = 0; i < 2; ++i) {
    client.socket.destroy();
    client = await resumed(t, also, kept(client));
    await works(client);
    assert.ok(Number(client.answer.expires_at) <= began + 3_500);
  }
  const beat = setInterval(() => client.state === 'attached' && client.heartbeat(), 50);
  t.after(() => clearInterval(beat));
  assert.deepEqual(await end(client), ['peer', Code.SESSION_EXPIRED]);
  assert.ok(Date.now() >= began + 2_900, 'not before its time');
  await notResumed(t, also, kept(client));
  await notResumed(t, here, kept(client));
});

test('a session that lives is written again in time', async (t) => {
  const short = await cluster.add('gateway', ...kQuick, '--raystream-life', '2s');
  const client = await attached(t, { port: short.raystreamPort });
  const beat = setInterval(() => client.state === 'attached' && client.heartbeat(), 50);
  const until = Date.now() + 5_000;
  await waitFor(() => {
    assert.ok(Number(state('PTTL', record(client))) >= 1_500, 'the record never ends before the session');
    return Date.now() > until;
  }, 'more than two lives');
  clearInterval(beat);
  client.socket.destroy();
  await works(await resumed(t, there, kept(client)));
});

test('no record is without an end', async (t) => {
  const clients = await Promise.all(Array.from({ length: 5 }, () => attached(t, here)));
  await Promise.all(clients.map((client) => resumed(t, there, kept(client))));
  const keys = state('KEYS', 'rs*').split('\n').filter(Boolean);
  assert.ok(keys.length > 5);
  for (const key of keys) assert.ok(Number(state('PTTL', key)) > 0, key);
});

test('what lies in Redis shows nothing of the session', async (t) => {
  const admin = await attached(t, here);
  const email = `${randomBytes(6).toString('hex')}@example.com`;
  await callJson(admin, 'auth.signup', { email, password: 'correct horse battery' });
  const { tokens } = (await callJson(admin, 'auth.login', { email, password: 'correct horse battery' })).json;
  const client = await attached(t, here, { token: tokens.AccessToken });
  const raw = Buffer.from(state('HGET', record(client), 's'), 'latin1').toString('latin1');
  assert.ok(!raw.includes(tokens.AccessToken.slice(-20)) && !raw.includes(cluster.project));
  assert.ok(!raw.includes(client.resumption.toString('latin1')));
});

test('a record that was changed, or is that of another session, or another generation, is refused', async (t) => {
  const lua = (script, ...keys) => state('EVAL', script, String(keys.length), ...keys);
  const copy = `local f = redis.call('HMGET', KEYS[1], 'g', 'v', 'o', 's') redis.call('HSET', KEYS[2], 'g', f[1], 'v', f[2], 'o', f[3], 's', f[4]) redis.call('PEXPIRE', KEYS[2], 100000)`;
  const [one, two] = [await attached(t, here), await attached(t, here)];
  const unreadable = () => outcome(there.service, 'unreadable');
  let count = await unreadable();
  const refused = async (resume) => {
    await notResumed(t, there, resume);
    assert.equal(await unreadable(), ++count);
  };
  lua(copy, record(one), 'rs:kept');
  // A bit of the sealed text, each part of it.
  for (const at of [1, 2, 3, 4, 10, 40, -1]) {
    lua(`local s = redis.call('HGET', KEYS[1], 's') local n = ${at} if n < 0 then n = #s + 1 + n end redis.call('HSET', KEYS[1], 's', s:sub(1, n - 1) .. string.char(bit.bxor(s:byte(n), 1)) .. s:sub(n + 1))`, record(one));
    await refused(kept(one));
    lua(copy, 'rs:kept', record(one));
  }
  // The state of another session, for either's secret.
  lua(copy, record(two), record(one));
  await refused(kept(one));
  await refused({ sessionId: one.sessionId, secret: kept(two).secret });
  lua(copy, 'rs:kept', record(one));
  // An old state under the new generation.
  one.socket.destroy();
  const next = await resumed(t, there, kept(one));
  await works(next);
  lua(`redis.call('HSET', KEYS[2], 's', redis.call('HGET', KEYS[1], 's'))`, 'rs:kept', record(one));
  await refused(kept(one));
  await refused(kept(next));
});

test('a record that was rolled back as a whole: whoever holds its secret may resume, and the owner of the newer generation does not lose it silently', async (t) => {
  const first = await attached(t, here);
  const old = state('EVAL', `return redis.call('DUMP', KEYS[1])`, '1', record(first));
  assert.ok(old.length > 0);
  state('EVAL', `redis.call('COPY', KEYS[1], 'rs:rolled')`, '1', record(first));
  const short = await cluster.add('gateway', ...kQuick, '--raystream-life', '2s');
  const next = await resumed(t, { port: short.raystreamPort }, kept(first));
  await works(next);
  state('EVAL', `redis.call('COPY', 'rs:rolled', KEYS[1], 'REPLACE')`, '1', record(first));
  assert.equal(generation(first), 1);
  // The owner writes what is true when it next writes.
  const beat = setInterval(() => next.state === 'attached' && next.heartbeat(), 50);
  t.after(() => clearInterval(beat));
  await waitFor(() => generation(first) === 2, 'the owner to write its generation again');
  await notResumed(t, there, kept(first));
  assert.equal(next.state, 'attached');
});

test('keys are changed in three steps, and sessions live through all of them', async (t) => {
  const file = `${cluster.folder}/state-rotated`;
  const rotate = (...args) => cluster.raymesh('raystream', 'key', 'rotate', '--state', file, ...args);
  const show = () => JSON.parse(cluster.raymesh('raystream', 'key', 'show', '--state', file, '--json'));
  cluster.raymesh('raystream', 'key', 'create', '--state', file, '--id', 'old');
  assert.deepEqual(show(), [{ id: 'old', encrypts: true }]);
  const gateway = () => cluster.add('gateway', ...kQuick, '--raystream-state-keys-file', file);
  const before = await gateway();
  const client = await attached(t, { port: before.raystreamPort });
  const left = await attached(t, { port: before.raystreamPort });
  rotate('--add', 'new');
  rotate('--encrypt-with', 'new');
  assert.deepEqual(show().map((k) => [k.id, k.encrypts]), [['new', true], ['old', false]]);
  const between = await gateway();
  const next = await resumed(t, { port: between.raystreamPort }, kept(client));
  await works(next);
  // One that does not have the new key yet, which is why it is added everywhere first.
  await notResumed(t, { port: before.raystreamPort }, kept(next));
  rotate('--remove', 'old');
  const last = await gateway();
  await works(await resumed(t, { port: last.raystreamPort }, kept(next)));
  await notResumed(t, { port: last.raystreamPort }, kept(left));
  assert.throws(() => cluster.raymesh('raystream', 'key', 'create', '--state', file), /exists already/);
  // Neither command shows a key.
  for (const text of [cluster.raymesh('raystream', 'key', 'show', '--state', file)]) assert.doesNotMatch(text, /[A-Za-z0-9_-]{43}/);
});

test('a gateway without state keys serves sessions that are not resumed, and says so; a signing key is no state key', async (t) => {
  const gateway = await cluster.add('gateway', '--raystream-state-keys', '');
  const client = await attached(t, { port: gateway.raystreamPort });
  await works(client);
  assert.ok(!stored(client));
  await notResumed(t, { port: gateway.raystreamPort }, kept(client));
  assert.match(gateway.child.output, /cannot be resumed/);
  await assert.rejects(cluster.add('gateway', '--raystream-state-keys-file', cluster.raystreamKeys), /has a signing key/);
  cluster.names.pop();
});

test('Redis down: sessions go on, new ones are served, and can be resumed when it is back', async (t) => {
  const redis = cluster.redis[1];
  const gateway = await cluster.add('gateway', ...kQuick);
  const target = { port: gateway.raystreamPort };
  const failed = () => metric(gateway, /raystream_state_writes_total\{result="failed"\} (\d+)/);
  const old = await attached(t, target);
  const pending = await shake(t, target, kept(await attached(t, here)));
  await redis.stop();
  await works(old);
  const fresh = await attached(t, target);
  await works(fresh);
  assert.ok((await failed()) > 0);
  // A look-up finds nothing, and a RESUME that cannot be written says that it may be tried again.
  await notResumed(t, target, kept(fresh));
  await assert.rejects(pending.sendResume());
  assert.deepEqual(await end(pending), ['peer', Code.SERVICE_UNAVAILABLE]);
  redis.start();
  await redis.ready();
  // All is gone with it; what lives is written again.
  await waitFor(() => stored(fresh), 'the session to be written');
  fresh.socket.destroy();
  await works(await resumed(t, there, kept(fresh)));
});

test('the cache service killed and started again', async (t) => {
  const client = await attached(t, here);
  const cache = cluster.services.cache;
  await cache.kill();
  await works(client);
  const fresh = await attached(t, here);
  await works(fresh);
  await cache.start();
  await waitFor(() => stored(fresh), 'the session to be written', 30_000);
  for (const one of [client, fresh]) await works(await resumed(t, there, kept(one)));
});

test('a handshake that asks to resume waits for the look-up no longer than a handshake may last', async (t) => {
  const gateway = await cluster.add('gateway', ...kQuick, '--raystream-handshake-timeout', '3s');
  const client = await attached(t, here);
  const cache = cluster.services.cache;
  cache.child.signal('SIGSTOP');
  try {
    await waitFor(() => readFileSync(`/proc/${cache.pid}/stat`, 'utf8').split(') ').at(-1)[0] === 'T', 'the cache service to be stopped');
    const began = Date.now();
    await notResumed(t, { port: gateway.raystreamPort }, kept(client));
    assert.ok(Date.now() - began < 3_000, 'begun anew before the deadline');
  } finally {
    cache.child.signal('SIGCONT');
  }
  await works(await resumed(t, there, kept(client)));
});

// ---- Subscriptions ----

const kChannel = 2;
const Event = { MESSAGE: 4n, JOIN: 5n, RESET: 7n };
const unique = (name) => `${name}-${randomBytes(6).toString('hex')}`;
const publish = async (channel, payload) => {
  const response = await fetch(`${cluster.url}/api/v1/realtime/publish`, {
    method: 'POST',
    body: JSON.stringify({ channel, payload }),
    headers: { authorization: `Bearer ${cluster.apiKey}`, 'content-type': 'application/json' },
  });
  assert.equal(response.status, 200, await response.text());
};
const messages = (client, channel) => client.events.filter((e) => e.name === channel && e.type === Event.MESSAGE).map((e) => JSON.parse(e.data));
const last = (client, channel) => client.events.filter((e) => e.name === channel).at(-1).position;

for (const [where, to] of [['on the same gateway', () => here], ['on another gateway', () => there]])
  test(`subscriptions go on after their positions, ${where}: no event is lost or comes twice`, async (t) => {
    const channel = unique('hist:a');
    let client = await attached(t, here);
    let { position } = await client.subscribe(kChannel, channel);
    const got = [];
    let sent = 0;
    for (let round = 0; round < 4; ++round) {
      for (let i = 0; i < 3; ++i) await publish(channel, sent++);
      await waitFor(() => messages(client, channel).length === (round === 0 ? 3 : 6), 'the events');
      got.push(...messages(client, channel));
      position = last(client, channel);
      client.socket.destroy();
      for (let i = 0; i < 3; ++i) await publish(channel, sent++);
      client = await resumed(t, to(), kept(client), [{ kind: kChannel, name: channel, position }]);
      assert.deepEqual(client.answer.ended, []);
    }
    await waitFor(() => messages(client, channel).length === 3, 'the last events');
    got.push(...messages(client, channel));
    assert.deepEqual(got, Array.from({ length: sent }, (_, i) => i));
    // Nothing was delivered twice to a session: it is there once.
    await publish(channel, 'end');
    await waitFor(() => messages(client, channel).at(-1) === 'end', 'the end');
    assert.equal(messages(client, channel).length, 4);
  });

test('what RESUME does not name ends, what is not stored is told to be ended, and what was ended before stays so', async (t) => {
  const [going, left, ended, never] = ['hist:g', 'hist:l', 'hist:e', 'hist:n'].map(unique);
  const first = await attached(t, here);
  const positions = {};
  for (const name of [going, left, ended]) positions[name] = (await first.subscribe(kChannel, name)).position;
  await first.subscribe(kChannel, ended, { on: false });
  first.socket.destroy();
  const named = (name) => ({ kind: kChannel, name, position: positions[name] ?? positions[going] });
  const next = await resumed(t, there, kept(first), [named(going), named(ended), named(never), named(going)]);
  assert.deepEqual(next.answer.ended.map(({ name }) => name).sort(), [ended, never].sort());
  for (const name of [going, left, ended, never]) await publish(name, 1);
  await waitFor(() => messages(next, going).length === 1, 'an event');
  // It is stored with what goes on, and can be changed.
  await next.subscribe(kChannel, never);
  next.socket.destroy();
  const last = await resumed(t, here, kept(next), [named(going), named(left), named(never)]);
  assert.deepEqual(last.answer.ended.map(({ name }) => name), [left]);
  assert.equal(messages(next, left).length + messages(next, ended).length, 0);
});

test('a subscription is stored before it is acknowledged: kill -9 right after the answer', async (t) => {
  const doomed = await cluster.add('gateway', ...kQuick);
  const client = await attached(t, { port: doomed.raystreamPort });
  const names = Array.from({ length: 20 }, (_, i) => unique(`hist:${i}`));
  const answered = [];
  const asked = names.map((name) => client.subscribe(kChannel, name).then(({ position }) => answered.push({ kind: kChannel, name, position }), () => {}));
  await waitFor(() => answered.length >= 5, 'some answers');
  await doomed.kill();
  await Promise.all(asked);
  const next = await resumed(t, there, kept(client), answered);
  assert.deepEqual(next.answer.ended, []);
  for (const { name } of answered) await publish(name, name);
  await waitFor(() => next.events.length === answered.length, 'an event of each');
});

test('under a publisher: every event once and in order, over many resumptions and gateways, answers lost among them', async (t) => {
  const channel = unique('hist:p');
  let client = await attached(t, here);
  let { position } = await client.subscribe(kChannel, channel);
  let sent = 0;
  let stop = false;
  const publishing = (async () => {
    while (!stop) await publish(channel, sent++);
  })();
  const got = [];
  let secret = kept(client);
  for (let round = 0; round < 12; ++round) {
    const seen = client.events.length;
    await waitFor(() => client.events.length >= seen + 5, 'events');
    client.socket.destroy();
    await client.ended;
    got.push(...messages(client, channel));
    assert.ok(client.events.every((e) => e.type === Event.MESSAGE), 'no RESET');
    if (client.events.length > 0) position = last(client, channel);
    secret = kept(client);
    const named = [{ kind: kChannel, name: channel, position }];
    if (round % 3 === 1) {
      // The answer is lost.
      const lost = await shake(t, here, secret);
      lost.receive = () => {};
      lost.sendResume(named).catch(() => {});
      const before = generation(lost);
      await waitFor(() => generation(lost) > before || stored(lost), 'the generation');
      lost.socket.destroy();
    }
    client = await resumed(t, round % 2 ? here : there, secret, named);
    assert.deepEqual(client.answer.ended, []);
  }
  stop = true;
  await publishing;
  const before = got.length;
  await waitFor(() => before + messages(client, channel).length >= sent, 'the rest');
  got.push(...messages(client, channel));
  assert.deepEqual(got, Array.from({ length: sent }, (_, i) => i));
});

test('a history that is gone: RESET, and then what comes', async (t) => {
  const channel = unique('hist:r');
  const first = await attached(t, here);
  await first.subscribe(kChannel, channel);
  await publish(channel, 0);
  await waitFor(() => first.events.length === 1, 'an event');
  first.socket.destroy();
  for (let i = 1; i <= 150; ++i) await publish(channel, i);
  const next = await resumed(t, there, kept(first), [{ kind: kChannel, name: channel, position: last(first, channel) }]);
  await waitFor(() => next.events.some((e) => e.type === Event.RESET), 'RESET');
  await publish(channel, 'now');
  await waitFor(() => messages(next, channel).at(-1) === 'now', 'what comes');
});

test('a user who was present is so after the resumption, and sees who comes', async (t) => {
  const channel = unique('room');
  const first = await attached(t, here);
  const sub = { kind: kChannel, name: channel };
  const callId = first.nextCall++;
  const { result } = await first.pending(callId, () => first.send(Type.SUBSCRIBE, encode('Subscribe', { call_id: callId, kind: kChannel, name: channel, on: true, presence: true })));
  assert.ok(result.length > 0);
  await publish(channel, 0);
  await waitFor(() => messages(first, channel).length === 1, 'an event');
  first.socket.destroy();
  const next = await resumed(t, there, kept(first), [{ ...sub, position: last(first, channel), presence: true }]);
  const other = await attached(t, here);
  await other.subscribe(kChannel, channel);
  await waitFor(() => next.events.some((e) => e.type === Event.JOIN), 'JOIN');
});

test('SUBSCRIBE while Redis is away is served; the next resumption tells that it is not stored', async (t) => {
  const gateway = await cluster.add('gateway', '--timer-tick', '10ms', '--raystream-check-period', '1m');
  const channel = unique('room');
  const client = await attached(t, { port: gateway.raystreamPort });
  const cache = cluster.services.cache;
  await cache.kill();
  const { position } = await client.subscribe(kChannel, channel);
  await publish(channel, 1);
  await waitFor(() => messages(client, channel).length === 1, 'an event');
  await gateway.kill();
  await cache.start();
  const next = await resumed(t, there, kept(client), [{ kind: kChannel, name: channel, position }]);
  assert.deepEqual(next.answer.ended.map(({ name }) => name), [channel]);
  await next.subscribe(kChannel, channel, { from: last(client, channel) });
});
