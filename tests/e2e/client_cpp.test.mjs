// clients/cpp against the real gateway, over both transports, plain and over TLS.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Session } from '../../clients/cpp/tests/driver.mjs';
import { startCluster } from '../support/cluster.mjs';
import { waitFor } from '../support/processes.mjs';

let cluster;
let serverKeys;
const sessions = [];
before(async () => {
  cluster = await startCluster('separate');
  const response = await fetch(`${cluster.url}/api/v1/raystream/key`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
  serverKeys = (await response.json()).keys;
});
after(async () => {
  await Promise.all(sessions.map((session) => session.quit()));
  assert.deepEqual(await cluster?.stop(), []);
});

const addresses = { ws: () => cluster.url, tcp: () => `tcp://127.0.0.1:${cluster.raystreamPort}` };

function connect(kind, options = {}) {
  const session = new Session({ url: addresses[kind](), apiKey: cluster.apiKey, serverKeys, timeoutMs: 60_000, ...options });
  sessions.push(session);
  return session;
}

const db = (session, method, tableName, options, more) => session.call(`db.${method}`, { tableName, options }, more);

for (const kind of ['ws', 'tcp']) {
  for (const cipher of ['chacha20-poly1305', 'aes-256-gcm'])
    test(`${kind}, ${cipher}: many calls at once, a change of keys, several MiB`, async () => {
      const session = connect(kind, { cipher });
      // A session has 128 calls at most.
      for (let at = 0; at < 17_000; at += 100) {
        const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => session.call('raystream.echo', at + i)));
        answers.forEach((answer, i) => assert.equal(answer, at + i));
      }
      assert.equal((await session.status()).cipher, cipher);
      const bytes = randomBytes(7 * 1048576 + 17);
      assert.ok((await session.call('raystream.echo', bytes)).equals(bytes));
    });

  test(`${kind}: the database, the cache, errors as over HTTP`, async () => {
    const session = connect(kind);
    const table = `cpp_${kind}`;
    await session.call('db.migrate', { sql: `create table ${table} (id bigserial primary key, n int)` });
    await db(session, 'insert', table, { data: { n: 1 } });
    assert.deepEqual((await db(session, 'find', table, {})).data.map(({ n }) => n), [1]);
    assert.deepEqual(await session.call('cache.set', [1], { path: `cpp-${kind}`, query: 'ttl=60' }), { set: true });
    assert.deepEqual(await session.call('cache.get', {}, { path: `cpp-${kind}` }), { value: [1] });
    await assert.rejects(db(session, 'find', 'nowhere', {}), { code: 'unknown_table', status: 400, errorCode: 'INVALID_REQUEST', retryable: false });
    await assert.rejects(session.call('no.such'), { code: 'not_found', status: 404, errorCode: 'NOT_FOUND' });
  });

  test(`${kind}: a channel: members, messages in order, many at once, and the end when it is revoked`, async () => {
    const session = connect(kind);
    const other = connect(kind);
    const channel = `cpp-room-${kind}`;
    const watched = session.subscribe(channel, { presence: true });
    await watched.ready;
    assert.equal((await watched.next()).value.type, 'join');
    const plain = other.subscribe(channel);
    await plain.ready;
    const join = (await watched.next()).value;
    assert.deepEqual([join.type, join.data.id], ['join', join.id]);
    const count = 200;
    const sent = Promise.all(Array.from({ length: count }, (_, n) => (n % 2 ? session : other).call('realtime.publish', { channel, payload: n })));
    const read = async (subscription) => {
      const got = [];
      while (got.length < count) {
        const { value } = await subscription.next();
        assert.equal(value.type, 'message');
        got.push(value.data);
      }
      return got;
    };
    const [first, second] = await Promise.all([read(watched), read(plain)]);
    assert.ok((await sent).every(({ delivered }) => delivered === 2));
    assert.deepEqual(first, second);
    assert.deepEqual([...first].sort((a, b) => a - b), Array.from({ length: count }, (_, n) => n));
    await session.call('realtime.revoke', { channel });
    assert.equal((await plain.next()).value.type, 'end');
    await assert.rejects(plain.next(), { code: 'permission_denied', status: 403 });
    const table = session.subscribe('users', { kind: 'table' });
    await assert.rejects(table.ready, { code: 'not_found' });
  });

  test(`${kind}: channels that are left and taken up again at once, before SUBSCRIBE or its end was answered`, async () => {
    const session = connect(kind);
    await session.connect();
    for (let i = 0; i < 20; ++i) {
      const channel = `cpp-again-${kind}-${i}`;
      const first = session.subscribe(channel);
      await first.made;
      const left = [first.close()];
      const second = session.subscribe(channel);
      await second.ready;
      left.push(second.close());
      const third = session.subscribe(channel);
      await third.ready;
      assert.deepEqual(await session.call('realtime.publish', { channel, payload: i }), { delivered: 1 });
      assert.equal((await third.next()).value.data, i);
      await Promise.all(left);
    }
  });

  test(`${kind}: a write with an idempotency key happens once, also when gateways die under it`, async () => {
    const session = connect(kind);
    const table = `keyed_${kind}`;
    await session.call('db.migrate', { sql: `create table ${table} (id bigserial primary key, n int)` });
    const insert = (n, key) => db(session, 'insert', table, { data: { n } }, { idempotencyKey: key });
    const first = await insert(0, `${kind}-0`);
    assert.deepEqual(await insert(0, `${kind}-0`), first);
    await assert.rejects(insert(1, `${kind}-0`), { code: 'idempotency_conflict', status: 409 });
    await assert.rejects(session.call('realtime.publish', { channel: 'c', payload: 1 }, { idempotencyKey: 'k' }), { code: 'idempotency_unsupported', status: 400 });
    let written = 0;
    let stop = false;
    const writing = (async () => {
      for (let n = 1; !stop; ++n) {
        await insert(n, `${kind}-${n}`);
        written = n;
      }
    })();
    for (let i = 0; i < 3; ++i) {
      const from = written;
      await waitFor(() => written > from + 20, 'writes');
      await cluster.services.gateway.kill();
      await cluster.services.gateway.start();
    }
    stop = true;
    // Every one of them was acknowledged, and none was done twice.
    await writing;
    const { data } = await db(session, 'find', table, { orderBy: { id: 'asc' }, limit: 1000 });
    assert.deepEqual(data.map(({ n }) => n), Array.from({ length: written + 1 }, (_, n) => n));
  });

  test(`${kind}: a gateway that is killed: a write without a key is OUTCOME_UNKNOWN, reads go on`, async () => {
    const session = connect(kind);
    const table = `killed_${kind}`;
    await session.call('db.migrate', { sql: `create table ${table} (n int); create function ${table}_wait() returns trigger language plpgsql as $$ begin perform pg_sleep(1.5); return new; end $$; create trigger w before insert on ${table} for each row execute function ${table}_wait()` });
    const write = db(session, 'insert', table, { data: { n: 1 } });
    write.catch(() => {});
    await session.call('raystream.echo', 1);
    await cluster.services.gateway.kill();
    const read = db(session, 'count', table, {});
    await assert.rejects(write, { code: 'outcome_unknown', errorCode: 'OUTCOME_UNKNOWN', status: 503 });
    await cluster.services.gateway.start();
    assert.ok((await read).data >= 0, JSON.stringify(await read));
  });

  test(`${kind}: events of a channel come, in order and all of them, also over a gateway that is killed`, async () => {
    const [session, publisher] = [connect(kind), connect('tcp')];
    const channel = `hist:cpp-${kind}-${randomBytes(4).toString('hex')}`;
    const publish = (n) => publisher.call('realtime.publish', { channel, payload: { n } });
    const room = session.subscribe(channel);
    await room.ready;
    for (let n = 0; n < 5; ++n) await publish(n);
    for (let n = 0; n < 5; ++n) assert.deepEqual((await room.next()).value.data, { n });
    await cluster.services.gateway.kill();
    await cluster.services.gateway.start();
    for (let n = 5; n < 10; ++n) await publish(n);
    let last;
    for (let n = 5; n < 10; ++n) {
      last = (await room.next()).value;
      assert.deepEqual([last.type, last.data], ['message', { n }]);
    }
    // Another session goes on behind a position.
    const later = connect(kind).subscribe(channel, { from: last.position });
    await later.ready;
    await publish(10);
    assert.deepEqual((await later.next()).value.data, { n: 10 });
    await room.close();
    await assert.rejects(connect(kind).subscribe('notes', { kind: 'table' }).ready, { errorCode: 'NOT_FOUND' });
  });

  test(`${kind}: a wrong API key, a wrong pin and a dead port fail clearly`, async () => {
    await assert.rejects(connect(kind, { apiKey: 'dc_wrong' }).call('info'), { status: 401, code: 'invalid_api_key' });
    const pins = [{ id: serverKeys[0].id, publicKey: new Uint8Array(32).fill(7) }];
    await assert.rejects(connect(kind, { serverKeys: pins }).call('info'), { code: 'server_not_trusted', retryable: false });
    await assert.rejects(connect(kind, { url: kind === 'ws' ? 'http://127.0.0.1:9' : 'tcp://127.0.0.1:9', timeoutMs: 500 }).call('info'), { code: 'network_error', status: 0 });
  });
}

test('the servers\' keys are read from the gateway on loopback', async () => {
  assert.deepEqual(await connect('ws', { serverKeys: [] }).call('raystream.echo', 'x'), 'x');
  await assert.rejects(connect('ws', { serverKeys: [], apiKey: 'dc_wrong' }).call('info'), { status: 401, code: 'invalid_api_key' });
});

test('a token makes the session its user\'s', async () => {
  const session = connect('tcp');
  const account = { email: `cpp${randomBytes(4).toString('hex')}@example.com`, password: 'correct horse battery' };
  const { userId } = await session.call('auth.signup', account);
  const { tokens } = await session.call('auth.login', account);
  assert.equal((await connect('tcp', { accessToken: tokens.AccessToken }).call('auth.me')).user.id, userId);
});

test('over TLS, when the authority is trusted and the name is right', async () => {
  const folder = `${cluster.folder}/cpp-tls`;
  cluster.raymesh('certs', 'dev', '--out', folder);
  const gateway = await cluster.add('gateway', '--tls-cert', `${folder}/public.pem`, '--tls-key', `${folder}/public-key.pem`);
  const bytes = randomBytes(2 << 20);
  for (const url of [`wss://localhost:${gateway.port}`, `tls://localhost:${gateway.raystreamPort}`]) {
    const session = connect('tcp', { url, tlsCaFile: `${folder}/ca.pem` });
    assert.ok((await session.call('raystream.echo', bytes)).equals(bytes));
    await assert.rejects(connect('tcp', { url, timeoutMs: 1500 }).call('info'), (error) => error.code === 'network_error' && /certificate verify failed/.test(error.message));
  }
  // Keys over HTTPS.
  assert.equal(await connect('ws', { url: `https://localhost:${gateway.port}`, serverKeys: [], tlsCaFile: `${folder}/ca.pem` }).call('raystream.echo', 'x'), 'x');
});

for (const [what, end] of [['stops', (gateway) => gateway.stop()], ['is killed', (gateway) => gateway.kill()]])
  test(`a gateway that ${what}: the session goes on with the next one`, async () => {
    const session = connect('tcp');
    await session.connect();
    const { sessionId } = await session.status();
    assert.match(sessionId, /^[0-9a-f-]{36}$/);
    await end(cluster.services.gateway);
    await waitFor(() => session.state !== 'connected', 'the end of the connection');
    const call = session.call('raystream.echo', 'again');
    await cluster.services.gateway.start();
    assert.equal(await call, 'again');
    assert.equal((await session.status()).sessionId, sessionId);
  });
