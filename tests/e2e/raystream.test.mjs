// Raystream sessions as a client meets them: every method in both forms, over both transports, against `raymesh dev` and against separate
// processes. The client is the second implementation (tests/interop), so that what is served is what the protocol page says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { Code, Type } from '../interop/raystream/frames.mjs';
import { encode } from '../interop/raystream/messages.mjs';
import { startCluster } from '../support/cluster.mjs';
import { root } from '../support/paths.mjs';
import { waitFor } from '../support/processes.mjs';
import { callJson, connectRaystream, connectSocket, connectWebSocket, fetchPins } from '../support/raystream.mjs';

const messages = (name) => {
  const services = grpc.loadPackageDefinition(loader.loadSync(`raymesh/${name}/v1/${name}.proto`, { includeDirs: [`${root}/proto`], keepCase: true, longs: Number, defaults: true })).raymesh[name].v1;
  return Object.values(services).find((s) => s.service).service;
};
const services = Object.fromEntries(['auth', 'storage', 'cache', 'realtime'].map((name) => [name, messages(name)]));

/** A call with the service's messages both ways. */
async function callProto(client, method, [service, rpc], request, metadata) {
  const { requestSerialize, responseDeserialize } = services[service][rpc];
  const { result } = await client.call(method, requestSerialize(request), metadata);
  return responseDeserialize(result);
}

const fails = async (promise, code, status) => {
  const error = await promise.then((answer) => assert.fail(`answered ${JSON.stringify(answer)}`), (e) => e);
  assert.equal(error.code, code, `${error.code}: ${error.message}`);
  if (status) assert.equal(Number(error.status), status);
  return error;
};

const unique = (name) => `${name}-${randomBytes(6).toString('hex')}`;
const kPassword = 'correct horse battery';

for (const mode of ['dev', 'separate'])
  describe(mode, () => {
    let cluster, pins, targets;
    before(async () => {
      cluster = await startCluster(mode);
      await cluster.migrate('CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL)');
      pins = await fetchPins(cluster.url, cluster.apiKey);
      targets = { WebSocket: { url: cluster.url }, TCP: { port: cluster.raystreamPort } };
    });
    after(async () => assert.deepEqual(await cluster.stop(), []));

    const open = async (t, to = targets.WebSocket, token = '', key = cluster.apiKey) => {
      const client = connectRaystream(to, { pins });
      t.after(() => client.close());
      await client.ready;
      await client.attach(key, token);
      return client;
    };
    const user = async (client) => {
      const email = `${unique('u')}@example.com`;
      const { json } = await callJson(client, 'auth.signup', { email, password: kPassword });
      const login = await callJson(client, 'auth.login', { email, password: kPassword });
      assert.equal(login.json.userId, json.userId);
      return { id: json.userId, email, token: login.json.tokens.AccessToken };
    };

    for (const transport of ['WebSocket', 'TCP']) {
      test(`${transport}: the database, the cache and channels, with JSON`, async (t) => {
        const client = await open(t, targets[transport]);
        const text = unique('note');
        const inserted = await callJson(client, 'db.insert', { tableName: 'notes', options: { data: { text } } });
        assert.equal(inserted.status, 200);
        const found = await callJson(client, 'db.find', { tableName: 'notes', options: { where: { text } } });
        assert.deepEqual(found.json.data.map((row) => row.text), [text]);
        // The method's name decides, whatever the arguments say.
        const counted = await callJson(client, 'db.count', { operation: 'delete', tableName: 'notes', options: { where: { text } } });
        assert.ok(JSON.stringify(counted.json).includes('1'), JSON.stringify(counted.json));
        const queried = await callJson(client, 'db.query', { operation: 'findOne', tableName: 'notes', options: { where: { text } } });
        assert.equal(queried.json.data.text, text);

        const path = encodeURIComponent(unique('k/ä'));
        assert.deepEqual((await callJson(client, 'cache.set', { a: [1] }, { path, query: 'ttl=60' })).json, { set: true });
        assert.deepEqual((await callJson(client, 'cache.set', 2, { path, query: 'nx=true' })).json, { set: false });
        assert.deepEqual((await callJson(client, 'cache.get', undefined, { path })).json, { value: { a: [1] } });
        assert.deepEqual((await callJson(client, 'cache.expire', { ttl: 5 }, { path })).json, { applied: true });
        assert.deepEqual((await callJson(client, 'cache.delete', undefined, { path })).json, { deleted: true });
        await fails(callJson(client, 'cache.get', undefined, { path }), 'not_found', 404);
        assert.deepEqual((await callJson(client, 'cache.hset', { fields: { x: 1 } }, { path })).json, { written: 1 });
        assert.deepEqual((await callJson(client, 'cache.hgetall', undefined, { path })).json, { value: { x: 1 } });
        const set = encodeURIComponent(unique('set'));
        assert.deepEqual((await callJson(client, 'cache.sadd', { members: ['a', 'b'] }, { path: set })).json, { added: 2 });
        assert.deepEqual((await callJson(client, 'cache.srem', { members: ['a'] }, { path: set })).json, { removed: 1 });
        assert.deepEqual((await callJson(client, 'cache.smembers', undefined, { path: set })).json, { value: ['b'] });

        const channel = unique('hist:c');
        assert.deepEqual((await callJson(client, 'realtime.publish', { channel, payload: { n: 1 } })).json, { delivered: 0 });
        const history = await callJson(client, 'realtime.history', undefined, { path: encodeURIComponent(channel), query: 'limit=5' });
        assert.deepEqual(history.json.messages.map((m) => m.payload), [{ n: 1 }]);
        assert.equal((await callJson(client, 'realtime.presence', undefined, { path: encodeURIComponent(channel) })).json.count, 0);
        assert.equal((await callJson(client, 'realtime.presence', undefined, { path: `${encodeURIComponent(channel)}/presence` })).json.count, 0);
        assert.equal(typeof (await callJson(client, 'realtime.token', { channels: [channel] })).json.token, 'string');
        assert.equal((await callJson(client, 'realtime.revoke', { channel })).json.unreached, 0);
        assert.equal((await callJson(client, 'info')).json.project.id, cluster.project);
      });

      test(`${transport}: calls above a frame both ways, beside small ones, in any order`, async (t) => {
        const client = await open(t, targets[transport]);
        const big = randomBytes(5 << 20);
        const large = client.call('raystream.echo', big);
        const small = Array.from({ length: 50 }, (_, i) => client.call('raystream.echo', Buffer.from(`small ${i}`)));
        assert.ok((await large).result.equals(big));
        (await Promise.all(small)).forEach((a, i) => assert.equal(a.result.toString(), `small ${i}`));
        // One whose arguments are not complete holds up nobody.
        const id = client.nextCall++;
        const part = (more) => client.send(Type.CALL, encode('RpcCall', { call_id: id, method: more ? 'raystream.echo' : '', args: Buffer.from('half'), more }));
        const slow = client.pending(id, () => part(true));
        assert.equal((await client.call('raystream.echo', Buffer.from('first'))).result.toString(), 'first');
        part(false);
        assert.equal((await slow).result.toString(), 'halfhalf');
        const text = randomBytes(3 << 20).toString('base64');
        await callJson(client, 'db.insert', { tableName: 'notes', options: { data: { text } } });
        const { json } = await callJson(client, 'db.find', { tableName: 'notes', options: { where: { text } } });
        assert.equal(json.data[0].text, text);
        await callJson(client, 'db.delete', { tableName: 'notes', options: { where: { text } } });
      });

      test(`${transport}: a session outlives a change of keys in both directions`, async (t) => {
        const client = await open(t, targets[transport]);
        for (let at = 0; at < 17_000; at += 100)
          await Promise.all(Array.from({ length: 100 }, () => client.call('raystream.echo', Buffer.from('x'))));
        assert.ok(client.out.epoch > 0n && client.in.epoch > 0n);
      });
    }

    test('the same with the services\' own messages', async (t) => {
      const client = await open(t, targets.TCP);
      const text = unique('note');
      const insert = { table: 'notes', options: Buffer.from(JSON.stringify({ data: { text } })) };
      await callProto(client, 'db.insert', ['storage', 'Query'], insert);
      const where = { table: 'notes', operation: 'delete', options: Buffer.from(JSON.stringify({ where: { text } })) };
      const found = await callProto(client, 'db.find', ['storage', 'Query'], where);
      assert.equal(JSON.parse(found.json)[0].text, text);
      // A key in the metadata becomes the message's, also one whose length takes two bytes.
      for (const idempotencyKey of [unique('key'), unique('key').padEnd(255, 'x')]) {
        const once = () => callProto(client, 'db.insert', ['storage', 'Query'], insert, { 'idempotency-key': idempotencyKey });
        assert.deepEqual(await once(), await once());
        const query = () => callProto(client, 'db.query', ['storage', 'Query'], { ...insert, operation: 'insert' }, { 'idempotency-key': `q${idempotencyKey.slice(1)}` });
        assert.deepEqual(await query(), await query());
      }
      const created = unique('once');
      const create = () => callProto(client, 'db.migrate', ['storage', 'Migrate'], { sql: `CREATE TABLE "${created}" (id int)` }, { 'idempotency-key': created });
      assert.deepEqual(await create(), await create());
      const migrated = await callProto(client, 'db.migrate', ['storage', 'Migrate'], { sql: 'SELECT 1' });
      assert.equal(migrated.executed_statements, 1);

      const key = Buffer.from(unique('key'));
      assert.equal((await callProto(client, 'cache.set', ['cache', 'Set'], { key, json: Buffer.from('[1]') })).set, true);
      assert.equal((await callProto(client, 'cache.get', ['cache', 'Get'], { key })).json.toString(), '[1]');
      assert.equal((await callProto(client, 'cache.get', ['cache', 'Get'], { key: Buffer.from(unique('none')) })).found, false);

      const channel = unique('hist:p');
      const published = await callProto(client, 'realtime.publish', ['realtime', 'Publish'], { channel, payload_json: Buffer.from('7') });
      assert.equal(published.offset, 1);
      const history = await callProto(client, 'realtime.history', ['realtime', 'History'], { channel });
      assert.equal(history.messages[0].payload_json.toString(), '7');
      assert.equal((await callProto(client, 'realtime.presence', ['realtime', 'Presence'], { channel })).count, 0);

      const email = `${unique('p')}@example.com`;
      const { user_id: id } = await callProto(client, 'auth.signup', ['auth', 'Signup'], { email, password: kPassword });
      const login = await callProto(client, 'auth.login', ['auth', 'Login'], { email, password: kPassword });
      assert.equal(login.user_id, id);
      const whose = await callProto(client, 'auth.me', ['auth', 'VerifyToken'], { access_token: login.access_token });
      assert.deepEqual([whose.valid, whose.user_id], [true, id]);
    });

    test('a session with an access token is its user\'s', async (t) => {
      const me = await user(await open(t));
      const client = await open(t, targets.TCP, me.token);
      assert.equal((await callJson(client, 'auth.me')).json.user.id, me.id);
      assert.equal((await callProto(client, 'auth.me', ['auth', 'VerifyToken'], {})).user_id, me.id);
      const { token } = (await callJson(client, 'realtime.token', { channels: ['c'] })).json;
      const same = (await callProto(client, 'realtime.token', ['realtime', 'Mint'], { channels: ['c'] })).token;
      for (const minted of [token, same]) {
        const claims = Buffer.from(minted.split('.')[1], 'base64url').toString();
        assert.ok(claims.includes(me.id), 'the user is bound into the realtime token');
      }
      assert.equal((await callJson(await open(t), 'auth.me')).json.user, null);
    });

    test('another project\'s token attaches nothing, nor does a forged one; the session may try again', async (t) => {
      const me = await user(await open(t));
      const client = connectRaystream(targets.TCP, { pins });
      t.after(() => client.close());
      await client.ready;
      const attach = (key, token) => client.call('auth.attach', encode('Attach', { api_key: key, access_token: token }));
      await fails(attach(cluster.otherApiKey, me.token), 'invalid_token', 401);
      await fails(attach(cluster.apiKey, `${me.token}x`), 'invalid_token', 401);
      await fails(attach('dc_nobody', ''), 'invalid_api_key', 401);
      await fails(client.call('db.find'), 'unauthenticated', 401);
      await client.attach(cluster.apiKey, me.token);
      assert.equal((await callJson(client, 'auth.me')).json.user.id, me.id);
      await fails(attach(cluster.apiKey, ''), 'invalid_request', 400);
    });

    test('a project sees its own data only, whatever the arguments claim', async (t) => {
      const [mine, other] = [await open(t), await open(t, targets.TCP, '', cluster.otherApiKey)];
      const key = Buffer.from(unique('key'));
      await callProto(mine, 'cache.set', ['cache', 'Set'], { key, json: Buffer.from('1') });
      const context = { project: cluster.project, user: 'somebody' };
      assert.equal((await callProto(other, 'cache.get', ['cache', 'Get'], { key, context })).found, false);
      await fails(callProto(other, 'db.find', ['storage', 'Query'], { table: 'notes', context }), 'unknown_table');
      assert.equal((await callProto(mine, 'cache.get', ['cache', 'Get'], { key })).found, true);
    });

    test('another user\'s token or name in a call changes nobody\'s session', async (t) => {
      const stranger = await open(t);
      const [me, other] = [await user(stranger), await user(stranger)];
      const client = await open(t, targets.TCP, me.token);
      // Who has a token may ask whose it is, and that is all.
      assert.equal((await callProto(client, 'auth.me', ['auth', 'VerifyToken'], { access_token: other.token })).user_id, other.id);
      const claims = { 'x-access-token': other.token, authorization: `Bearer ${cluster.otherApiKey}`, user: other.id, project: cluster.otherProject };
      assert.equal((await callJson(client, 'auth.me', { accessToken: other.token }, claims)).json.user.id, me.id);
      assert.equal((await callJson(client, 'info', undefined, claims)).json.project.id, cluster.project);
      const context = { project: cluster.otherProject, user: other.id };
      for (const minted of [
        (await callJson(client, 'realtime.token', { channels: ['c'], user: other.id, accessToken: other.token }, claims)).json.token,
        (await callProto(client, 'realtime.token', ['realtime', 'Mint'], { channels: ['c'], context }, claims)).token,
      ]) {
        const payload = Buffer.from(minted.split('.')[1], 'base64url').toString();
        assert.ok(payload.includes(me.id) && !payload.includes(other.id), payload);
      }
      await fails(client.call('auth.attach', encode('Attach', { api_key: cluster.apiKey, access_token: other.token })), 'invalid_request', 400);
      assert.equal((await callJson(client, 'auth.me')).json.user.id, me.id);
      assert.equal((await callJson(stranger, 'auth.me')).json.user, null);
    });

    test('arguments cannot swallow what the gateway adds to them', async (t) => {
      const client = await open(t, targets.TCP);
      const text = unique('kept');
      await callJson(client, 'db.insert', { tableName: 'notes', options: { data: { text } } });
      const { requestSerialize } = services.storage.Query;
      const remove = requestSerialize({ operation: 'delete', table: 'notes', options: Buffer.from(JSON.stringify({ where: { text } })) });
      // A last field that is as long as what is put behind it: "find", as field 1; and with a key, field 4, too.
      for (const [swallowed, metadata] of [[6, {}], [6 + 3, { 'idempotency-key': 'k' }]]) {
        const open = Buffer.concat([remove, Buffer.from([0x7a, swallowed])]);
        await fails(client.call('db.find', open, metadata), 'invalid_request', 400);
      }
      assert.equal((await callJson(client, 'db.find', { tableName: 'notes', options: { where: { text } } })).json.data.length, 1);
    });

    test('errors are those of HTTP', async (t) => {
      const client = await open(t);
      const json = { 'content-type': 'application/json' };
      assert.equal((await fails(client.call('no.such'), 'not_found', 404)).error_code, Code.NOT_FOUND);
      assert.equal((await fails(client.call('db.find', Buffer.from('{'), json), 'invalid_json', 400)).error_code, Code.INVALID_REQUEST);
      await fails(callJson(client, 'db.find', { tableName: 'nowhere' }), 'unknown_table', 400);
      assert.equal((await fails(callJson(client, 'auth.login', { email: 'a@example.com', password: 'wrong-password' }), 'InvalidCredentials', 401)).error_code, Code.UNAUTHORIZED);
      await fails(client.call('db.find', Buffer.from([255])), 'invalid_request', 400);
      await fails(client.call('db.find', Buffer.alloc(0), { 'content-type': 'text/plain' }), 'invalid_request', 400);
      await fails(client.call('info'), 'invalid_request', 400);
      await fails(callJson(client, 'realtime.publish', { channel: 'room', payload: 1 }, { 'idempotency-key': 'k' }), 'idempotency_unsupported', 400);
      for (const key of ['k', 'x'.repeat(255)]) {
        const insert = (text) => callJson(client, 'db.insert', { tableName: 'notes', options: { data: { text } } }, { 'idempotency-key': key });
        assert.deepEqual(await insert('once'), await insert('once'));
        await fails(insert('other'), 'idempotency_conflict', 409);
      }
      await fails(callJson(client, 'db.insert', { tableName: 'notes', options: { data: { text: 'x' } } }, { 'idempotency-key': 'x'.repeat(256) }), 'invalid_request', 400);
      for (const ms of ['0', '-1', '1x', '1.5', '99999999999']) await fails(callJson(client, 'info', undefined, { 'timeout-ms': ms }), 'invalid_request', 400);
      // Above what the HTTP API takes for it (64 KiB), and above all (8 MiB): the session goes on.
      await fails(client.call('auth.login', Buffer.alloc(70_000, 32), json), 'body_too_large', 413);
      await fails(client.call('db.find', Buffer.alloc(9 << 20, 32), json), 'body_too_large', 413);
      assert.equal((await client.call('raystream.echo', Buffer.from('still here'))).result.toString(), 'still here');
    });

    test('raystream.echo answers in a size that was asked for', async (t) => {
      const client = await open(t);
      const echo = async (args, query) => (await client.call('raystream.echo', Buffer.from(args), { query })).result.toString();
      assert.equal(await echo('abc', 'bytes=8'), 'abcabcab');
      assert.equal(await echo('abc', 'bytes=2'), 'ab');
      assert.equal(await echo('', 'bytes=0'), '');
      assert.equal((await echo('x', 'bytes=1024')).length, 1024);
      for (const query of ['bytes=1025', 'bytes=', 'bytes=1x', 'bytes', 'b', 'bytes=-1']) await fails(echo('x', query), 'invalid_request', 400);
      await fails(echo('', 'bytes=1'), 'invalid_request', 400);
    });

    test('timeout-ms shortens the wait for a service', async (t) => {
      const client = await open(t);
      await callJson(client, 'db.migrate', { sql: 'CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$; DROP TABLE IF EXISTS slow; CREATE TABLE slow (id int); CREATE TRIGGER slow BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION slow()' });
      const error = await fails(callJson(client, 'db.insert', { tableName: 'slow', options: { data: { id: 1 } } }, { 'timeout-ms': '300' }), 'deadline_exceeded', 504);
      assert.equal(error.error_code, Code.TIMEOUT);
    });

    test('the gateway\'s metrics count it', async (t) => {
      const client = await open(t);
      await callJson(client, 'info');
      const ops = mode === 'dev' ? cluster.opsUrl : cluster.ops.gateway;
      const text = await (await fetch(`${ops}/metrics`)).text();
      for (const line of [/raystream_sessions\{state="attached"\} [1-9]/, /raystream_handshakes_total\{outcome="done"\} [1-9]/, /raystream_calls_total\{method="info",status="200"\} [1-9]/, /raystream_call_seconds_count\{method="info"\} [1-9]/, /raystream_failed_sessions_total 0/])
        assert.match(text, line);
    });
  });

describe('what only an operator can do', () => {
  let cluster, pins;
  before(async () => {
    cluster = await startCluster('separate');
    pins = await fetchPins(cluster.url, cluster.apiKey);
  });
  after(async () => assert.deepEqual(await cluster.stop(), []));

  const attached = async (t, to, key = cluster.apiKey, token = '') => {
    const client = connectRaystream(to, { pins });
    t.after(() => client.close());
    await client.ready;
    await client.attach(key, token);
    return client;
  };

  test('a session that says nothing ends with its API key', async (t) => {
    const gateway = await cluster.add('gateway', '--raystream-check-period', '200ms', '--timer-tick', '50ms');
    const { id, key } = cluster.createKey();
    const client = await attached(t, { port: gateway.raystreamPort }, key);
    cluster.raymesh('key', 'revoke', id, ...cluster.admin);
    const why = await client.ended;
    assert.deepEqual([why.by, why.code], ['peer', Code.UNAUTHORIZED]);
  });

  test('a session ends with its user\'s token and login', async (t) => {
    const gateway = await cluster.add('gateway', '--raystream-check-period', '200ms', '--timer-tick', '50ms');
    const stranger = await attached(t, { port: gateway.raystreamPort });
    const email = `${unique('u')}@example.com`;
    const { json } = await callJson(stranger, 'auth.signup', { email, password: kPassword });
    const login = async () => (await callJson(stranger, 'auth.login', { email, password: kPassword })).json.tokens.AccessToken;
    const client = await attached(t, { port: gateway.raystreamPort }, cluster.apiKey, await login());
    assert.equal((await callJson(client, 'auth.me')).json.user.id, json.userId);
    const ended = Date.now();
    cluster.postgres.sql(`UPDATE raymesh_auth.sessions SET revoked_at = now() WHERE user_id = '${json.userId}'`);
    // The token is looked at every 30 s.
    const why = await client.ended;
    assert.deepEqual([why.by, why.code], ['peer', Code.UNAUTHORIZED]);
    assert.ok(Date.now() - ended < 120_000);
    // One whose expiry comes: known from attach on, so nobody is asked.
    const auth = cluster.services.auth;
    await auth.stop();
    auth.args.push('--token-ttl', '3s');
    await auth.start();
    await waitFor(() => callJson(stranger, 'info').then(() => true, () => false), 'auth to be back');
    const short = await attached(t, { port: gateway.raystreamPort }, cluster.apiKey, await login());
    const over = await short.ended;
    assert.deepEqual([over.by, over.code], ['peer', Code.UNAUTHORIZED]);
    await callJson(stranger, 'info');
  });

  test('a session whose user has been signed out ends with the first call on behalf of that user', async (t) => {
    const stranger = await attached(t, { port: cluster.raystreamPort });
    const email = `${unique('u')}@example.com`;
    const { json } = await callJson(stranger, 'auth.signup', { email, password: kPassword });
    const { tokens } = (await callJson(stranger, 'auth.login', { email, password: kPassword })).json;
    const client = await attached(t, { port: cluster.raystreamPort }, cluster.apiKey, tokens.AccessToken);
    const mint = () => callJson(client, 'realtime.token', { channels: ['c'] });
    await mint();
    cluster.postgres.sql(`UPDATE raymesh_auth.sessions SET revoked_at = now() WHERE user_id = '${json.userId}'`);
    // What was verified a moment ago holds for a moment.
    const error = await waitFor(() => mint().then(() => undefined, (e) => e), 'the call to be refused');
    assert.equal(error.code, 'invalid_token');
    const why = await client.ended;
    assert.deepEqual([why.by, why.code], ['peer', Code.UNAUTHORIZED]);
  });

  test('arguments that come too slowly are refused, and the session goes on', async (t) => {
    const gateway = await cluster.add('gateway', '--body-timeout', '300ms', '--raystream-check-period', '50ms', '--timer-tick', '10ms');
    const client = await attached(t, { port: gateway.raystreamPort });
    const id = client.nextCall++;
    const part = (method, more) => client.send(Type.CALL, encode('RpcCall', { call_id: id, method, args: Buffer.alloc(100_000), more }));
    await fails(client.pending(id, () => part('raystream.echo', true)), 'request_timeout', 408);
    // What still comes of it is passed over.
    part('', true);
    part('', false);
    assert.equal((await client.call('raystream.echo', Buffer.from('still here'))).result.toString(), 'still here');
  });

  test('calls that never end have one budget together, from their first byte on', async (t) => {
    const gateway = await cluster.add('gateway', '--max-body-memory', '1MiB');
    const client = await attached(t, { port: gateway.raystreamPort });
    const begin = (of, args) => {
      const id = of.nextCall++;
      const answer = of.pending(id, () => of.send(Type.CALL, encode('RpcCall', { call_id: id, method: 'raystream.echo', args, more: true })));
      answer.catch(() => {});
      return answer;
    };
    const calls = Array.from({ length: 20 }, () => begin(client, Buffer.alloc(60_000)));
    for (const call of calls.slice(17)) await fails(call, 'overloaded', 503);
    assert.equal((await client.call('raystream.echo', Buffer.alloc(60_000))).result.length, 60_000, 'what comes at once needs none of it');
    client.socket.destroy();
    // All of it is given back.
    const other = await attached(t, { port: gateway.raystreamPort });
    const big = Buffer.alloc(900_000, 1);
    const answered = () => other.call('raystream.echo', big).then(({ result }) => result.equals(big), (error) => assert.equal(error.code, 'overloaded') && false);
    await waitFor(answered, 'the memory to be free again', 30_000);
  });

  test('large arguments count until there is an answer, not only while they come', async (t) => {
    const gateway = await cluster.add('gateway', '--max-body-memory', '1MiB');
    const client = await attached(t, { port: gateway.raystreamPort });
    const big = Buffer.alloc(900_000, 1);
    const slow = callJson(client, 'db.migrate', { sql: `SELECT pg_sleep(3); -- ${'x'.repeat(900_000)}` });
    // It is on its way to the database by the time that the next answer comes.
    await client.call('raystream.echo', Buffer.from('x'));
    await fails(client.call('raystream.echo', big).then(({ result }) => result.length), 'overloaded', 503);
    assert.equal((await slow).json.success, true);
    assert.ok((await client.call('raystream.echo', big)).result.equals(big));
  });

  test('metadata may be as long as the head of a request over HTTP', async (t) => {
    const client = await attached(t, { port: cluster.raystreamPort });
    await fails(callJson(client, 'cache.get', undefined, { path: 'x'.repeat(17_000) }), 'headers_too_large', 431);
    await fails(callJson(client, 'realtime.history', undefined, { path: 'c', query: `epoch=${'x'.repeat(17_000)}` }), 'headers_too_large', 431);
    await fails(callJson(client, 'cache.get', undefined, { path: 'x'.repeat(500) }), 'not_found', 404);
  });

  test('over TLS it is the same, on both ports', async (t) => {
    const folder = `${cluster.folder}/raystream-tls`;
    cluster.raymesh('certs', 'dev', '--out', folder);
    const gateway = await cluster.add('gateway', '--tls-cert', `${folder}/public.pem`, '--tls-key', `${folder}/public-key.pem`);
    const trust = { host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false };
    const over = connectWebSocket(`wss://127.0.0.1:${gateway.port}/raystream`, { pins }, {}, trust);
    const tcp = connectSocket(tls.connect({ ...trust, port: gateway.raystreamPort }), 'secureConnect', { pins });
    const big = randomBytes(3 << 20);
    for (const client of [over, tcp]) {
      t.after(() => client.close());
      await client.ready;
      await client.attach(cluster.apiKey);
      assert.ok((await client.call('raystream.echo', big)).result.equals(big));
      assert.equal((await callJson(client, 'info')).json.project.id, cluster.project);
    }
  });

  test('a key without the capability is refused, as over HTTP', async (t) => {
    const { key } = cluster.createKey('--role', 'viewer');
    const client = await attached(t, { url: cluster.url }, key);
    assert.equal((await fails(callJson(client, 'db.migrate', { sql: 'SELECT 1' }), 'permission_denied', 403)).error_code, Code.PERMISSION_DENIED);
    await fails(callProto(client, 'db.migrate', ['storage', 'Migrate'], { sql: 'SELECT 1' }), 'permission_denied', 403);
  });

  test('calls count against the limit of their key, together with requests over HTTP', async (t) => {
    const { key } = cluster.createKey('--requests-per-second', '0.01', '--burst', '20');
    const client = await attached(t, { port: cluster.raystreamPort }, key);
    const answers = await Promise.allSettled(Array.from({ length: 60 }, () => callJson(client, 'info')));
    const refused = answers.filter((a) => a.status === 'rejected').map((a) => a.reason);
    assert.ok(refused.length >= 38, `${refused.length} were refused`);
    assert.ok(refused.every((e) => e.code === 'rate_limited' && e.error_code === Code.RATE_LIMITED && e.retry_after_ms > 0n));
    const http = await fetch(`${cluster.url}/api/v1/info`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal(http.status, 429);
  });

  test('open calls of a session are bounded', async (t) => {
    const gateway = await cluster.add('gateway', '--raystream-max-calls', '10');
    const client = await attached(t, { port: gateway.raystreamPort });
    for (let id = 1000; id < 1010; ++id) client.send(Type.CALL, encode('RpcCall', { call_id: id, method: 'db.find', args: Buffer.from('x'), more: true }));
    const error = await fails(callJson(client, 'info'), 'rate_limited', 429);
    assert.ok(error.retry_after_ms > 0n);
  });

  test('lives end: no heartbeat, the longest life', async (t) => {
    const quick = ['--raystream-check-period', '50ms', '--timer-tick', '10ms'];
    const silent = await cluster.add('gateway', ...quick, '--raystream-heartbeat', '200ms');
    const quiet = await attached(t, { port: silent.raystreamPort });
    const beating = await attached(t, { port: silent.raystreamPort });
    const beat = setInterval(() => beating.heartbeat(), 50);
    const why = await quiet.ended;
    assert.deepEqual([why.by, why.code], ['peer', Code.SESSION_EXPIRED]);
    assert.equal(beating.state, 'attached');
    clearInterval(beat);
    const short = await cluster.add('gateway', ...quick, '--raystream-longest-life', '500ms');
    const old = await attached(t, { port: short.raystreamPort });
    const beats = setInterval(() => old.heartbeat(), 50);
    assert.equal((await old.ended).code, Code.SESSION_EXPIRED);
    clearInterval(beats);
  });

  test('a session that breaks in the middle of a call leaves nothing behind', async (t) => {
    await cluster.migrate('CREATE TABLE held (id int); CREATE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(4); RETURN NEW; END $$; CREATE TRIGGER held BEFORE INSERT ON held FOR EACH ROW EXECUTE FUNCTION wait_long()');
    const client = await attached(t, { port: cluster.raystreamPort });
    const call = callJson(client, 'db.insert', { tableName: 'held', options: { data: { id: 1 } } });
    call.catch(() => {});
    const metric = async (pattern) => Number((await (await fetch(`${cluster.ops.gateway}/metrics`)).text()).match(pattern)?.[1] ?? 0);
    const attachedSessions = () => metric(/raystream_sessions\{state="attached"\} (\d+)/);
    const before = await attachedSessions();
    client.socket.destroy();
    await assert.rejects(call);
    await waitFor(async () => (await attachedSessions()) < before, 'the session to be gone');
  });

  test('a gateway that stops lets calls finish and says so', async (t) => {
    const gateway = await cluster.add('gateway');
    const client = await attached(t, { port: gateway.raystreamPort });
    await cluster.migrate('CREATE TABLE late (id int); CREATE FUNCTION wait_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$; CREATE TRIGGER late BEFORE INSERT ON late FOR EACH ROW EXECUTE FUNCTION wait_some()');
    const call = callJson(client, 'db.insert', { tableName: 'late', options: { data: { id: 1 } } });
    await client.call('raystream.echo');  // the other one is with the gateway now
    gateway.child.signal('SIGTERM');
    assert.equal((await call).status, 200);
    assert.equal((await client.ended).code, Code.SERVICE_UNAVAILABLE);
  });

  test('a reader that does not read is cut off, and its memory is given back', async (t) => {
    const gateway = await cluster.add('gateway', '--raystream-max-queued', '1MiB', '--write-timeout', '1s', '--timer-tick', '50ms', '--raystream-check-period', '100ms');
    const client = await attached(t, { port: gateway.raystreamPort });
    const big = Buffer.alloc(2 << 20, 1);
    client.socket.pause();
    for (let i = 0; i < 16; ++i) client.call('raystream.echo', big).catch(() => {});
    await waitFor(async () => /raystream_closed_total\{code="slow"\} 1/.test(await (await fetch(gateway.readyUrl.replace('readyz', 'metrics'))).text()), 'the session to end', 30_000);
    client.socket.destroy();
    const other = await attached(t, { port: gateway.raystreamPort });
    assert.ok((await other.call('raystream.echo', big)).result.equals(big));
  });

  test('keys are changed in three steps, and a client with the new one pinned is served throughout', async (t) => {
    const file = `${cluster.folder}/rotated`;
    cluster.raymesh('raystream', 'key', 'create', file, '--id', 'old');
    const show = () => JSON.parse(cluster.raymesh('raystream', 'key', 'show', file, '--json'));
    cluster.raymesh('raystream', 'key', 'rotate', file, '--add', 'new');
    assert.deepEqual(show().map((k) => [k.id, k.signs]), [['old', true], ['new', false]]);
    cluster.raymesh('raystream', 'key', 'rotate', file, '--sign-with', 'new');
    assert.deepEqual(show().map((k) => [k.id, k.signs]), [['new', true], ['old', false]]);
    const gateway = await cluster.add('gateway', '--raystream-keys-file', file);
    const told = await fetchPins(`http://127.0.0.1:${gateway.port}`, cluster.apiKey);
    assert.deepEqual([...told.keys()], ['new', 'old']);
    for (const id of ['old', 'new']) {
      const client = connectRaystream({ port: gateway.raystreamPort }, { pins: new Map([[id, told.get(id)]]), keyId: id });
      t.after(() => client.close());
      await client.ready;
    }
    cluster.raymesh('raystream', 'key', 'rotate', file, '--remove', 'old');
    assert.deepEqual(show().map((k) => k.id), ['new']);
    assert.throws(() => cluster.raymesh('raystream', 'key', 'create', file), /exists already/);
    // A client that has another key pinned does not go on.
    const wrong = connectRaystream({ port: gateway.raystreamPort }, { pins });
    await assert.rejects(wrong.ready);
  });

  test('the well-known key opens nothing from another Host', async (t) => {
    const dev = await startCluster('dev');
    t.after(async () => assert.deepEqual(await dev.stop(), []));
    const devPins = await fetchPins(dev.url, dev.apiKey);
    const client = connectWebSocket(`${dev.url.replace('http', 'ws')}/raystream`, { pins: devPins }, { host: 'rebound.example' });
    t.after(() => client.close());
    await client.ready;
    const error = await fails(client.call('auth.attach', encode('Attach', { api_key: dev.apiKey })), 'forbidden_origin', 403);
    assert.equal(error.error_code, Code.FORBIDDEN);
  });
});
