// clients/js against the real gateway, over both transports: what the conformance suite (--client raystream) does not do.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { raymesh } from '../../clients/js/dist/esm/index.js';
import { startCluster } from '../support/cluster.mjs';
import { root } from '../support/paths.mjs';
import { run, waitFor } from '../support/processes.mjs';

let cluster;
let serverKeys;
const clients = [];
before(async () => {
  cluster = await startCluster('separate');
  const response = await fetch(`${cluster.url}/api/v1/raystream/key`, { headers: { authorization: `Bearer ${cluster.apiKey}` } });
  serverKeys = (await response.json()).keys;
});
after(async () => {
  await Promise.all(clients.map((client) => client.close()));
  const problems = await cluster?.stop();
  assert.deepEqual(problems, []);
});

const addresses = { ws: () => cluster.url, tcp: () => `tcp://127.0.0.1:${cluster.raystreamPort}` };

function connect(kind, options = {}) {
  const client = raymesh({ url: addresses[kind](), apiKey: cluster.apiKey, webSocket: WebSocket, serverKeys, ...options });
  clients.push(client);
  return client;
}

for (const kind of ['ws', 'tcp']) {
  for (const cipher of ['chacha20-poly1305', 'aes-256-gcm']) {
    test(`${kind}, ${cipher}: many calls at once, a change of keys, several MiB`, async () => {
      const client = connect(kind, { ciphers: [cipher], timeoutMs: 60_000 });
      for (let at = 0; at < 17_000; at += 200) {
        const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => client.call('raystream.echo', at + i)));
        answers.forEach((answer, i) => assert.equal(answer, at + i));
      }
      assert.equal(client.raystream.cipher, cipher);
      const bytes = Uint8Array.from({ length: 3 * 1048576 + 17 }, (_, i) => i * 13);
      assert.ok(Buffer.from(await client.call('raystream.echo', bytes)).equals(bytes));
    });
  }

  test(`${kind}: a wrong API key, a wrong pin and a dead port fail clearly`, async () => {
    await assert.rejects(connect(kind, { apiKey: 'dc_wrong' }).db.users.find(), { name: 'DontCodeError', status: 401, code: 'invalid_api_key' });
    const pins = [{ id: serverKeys[0].id, publicKey: new Uint8Array(32).fill(7) }];
    await assert.rejects(connect(kind, { serverKeys: pins }).db.users.find(), { code: 'server_not_trusted', retryable: false });
    const client = connect(kind, { url: kind === 'ws' ? 'http://127.0.0.1:9' : 'tcp://127.0.0.1:9', timeoutMs: 500 });
    await assert.rejects(client.db.users.find(), { code: 'NetworkError', status: 0 });
  });

  test(`${kind}: a write with an idempotency key happens once, also when gateways die under it`, async () => {
    const client = connect(kind, { timeoutMs: 60_000 });
    const table = `keyed_${kind}`;
    await client.db.migrate({ sql: `create table ${table} (id bigserial primary key, n int)` });
    const insert = (n, idempotencyKey) => client.db(table).insert({ n }, { idempotencyKey });
    const first = await insert(0, `${table}-0`);
    assert.deepEqual(await insert(0, `${table}-0`), first);
    await assert.rejects(insert(1, `${table}-0`), { code: 'idempotency_conflict', status: 409, retryable: false });
    await assert.rejects(client.call('realtime.publish', { channel: 'c', payload: 1 }, { idempotencyKey: 'k' }), { code: 'idempotency_unsupported', status: 400 });
    let written = 0;
    let stop = false;
    const writing = (async () => {
      for (let n = 1; !stop; ++n) {
        await insert(n, `${table}-${n}`);
        written = n;
      }
    })();
    const { gateway } = cluster.services;
    for (let i = 0; i < 3; ++i) {
      const from = written;
      await waitFor(() => written > from + 20, 'writes');
      await gateway.kill();
      await gateway.start();
    }
    stop = true;
    // Every one of them was acknowledged, and none was done twice.
    await writing;
    const rows = await client.db(table).find({ orderBy: { id: 'asc' }, limit: 1000 });
    assert.deepEqual(rows.map(({ n }) => n), Array.from({ length: written + 1 }, (_, n) => n));
  });

  test(`${kind}: a gateway that is killed: reads go on with the next one, a write under way is OUTCOME_UNKNOWN`, async () => {
    const client = connect(kind, { timeoutMs: 60_000 });
    const table = `killed_${kind}`;
    await client.db.migrate({ sql: `create table ${table} (id bigserial primary key, n int)` });
    await client.db(table).insert({ n: 1 });
    const gateway = cluster.services.gateway;
    const outcomes = [];
    let stop = false;
    const writing = (async () => {
      for (let n = 2; !stop; ++n) await client.db(table).insert({ n }).then(() => outcomes.push('done'), (error) => outcomes.push(error.code));
    })();
    await waitFor(() => outcomes.length > 20, 'writes');
    await gateway.kill();
    const reading = client.db(table).count();
    await gateway.start();
    assert.ok((await reading) >= outcomes.filter((o) => o === 'done').length);
    const before = outcomes.length;
    await waitFor(() => outcomes.length > before + 20, 'writes with the new gateway');
    stop = true;
    await writing;
    // One write at a time: at most one was under way.
    const failed = outcomes.filter((o) => o !== 'done');
    assert.ok(failed.length <= 1 && failed.every((code) => code === 'outcome_unknown'), failed.join());
    const rows = (await client.db(table).count()) - 1;
    const done = outcomes.length - failed.length;
    assert.ok(rows === done || rows === done + failed.length, `${rows} rows of ${done} writes that were acknowledged, ${failed.length} unknown`);
  });

  test(`${kind}: channels that are left and taken up again at once, before SUBSCRIBE or its end was answered`, async () => {
    const client = connect(kind);
    await client.connect();
    for (let i = 0; i < 20; ++i) {
      const channel = `again-${kind}-${i}`;
      const first = client.realtime.subscribe(channel);
      await new Promise((sent) => setImmediate(sent));
      void first.close();
      const second = client.realtime.subscribe(channel);
      await second.ready;
      void second.close();
      const third = client.realtime.subscribe(channel);
      await third.ready;
      assert.equal(await client.realtime.publish(channel, i), 1);
      assert.equal((await third.next()).value.data, i);
    }
  });

  test(`${kind}: a channel: messages in order, members, positions, and through a gateway that is killed`, async () => {
    const client = connect(kind, { timeoutMs: 60_000 });
    const other = connect(kind, { timeoutMs: 60_000 });
    const channel = `hist:js-${kind}`;
    const watched = client.realtime.subscribe(channel, { presence: true });
    await watched.ready;
    assert.equal((await watched.next()).value.type, 'join');
    const plain = other.realtime.subscribe(channel);
    await plain.ready;
    const join = (await watched.next()).value;
    assert.equal(join.type, 'join');
    assert.equal(join.data.id, join.id);
    assert.equal(await client.realtime.publish(channel, { n: 0 }), 2);
    assert.deepEqual((await plain.next()).value.data, { n: 0 });
    const first = (await watched.next()).value;
    assert.deepEqual([first.type, first.data], ['message', { n: 0 }]);
    assert.equal((await client.realtime.presence(channel)).length, 2);

    // Every message once and in order, whatever became of the gateway meanwhile; a publish that failed is sent again.
    const count = 60;
    const got = [];
    const reading = (async () => {
      for await (const event of plain) {
        assert.equal(event.type, 'message');
        if (event.data.n !== got.at(-1)) got.push(event.data.n);
        if (event.data.n === count) break;
      }
    })();
    let killed;
    for (let n = 1; n <= count; ++n) {
      if (n === count / 2) killed = cluster.services.gateway.kill().then(() => cluster.services.gateway.start());
      for (let sent = false; !sent; ) await client.realtime.publish(channel, { n }).then(() => (sent = true), () => new Promise((resolve) => setTimeout(resolve, 20)));
    }
    await killed;
    await reading;
    assert.deepEqual(got, Array.from({ length: count }, (_, i) => i + 1));
    // With `break` it has ended on the server, too.
    await waitFor(async () => (await client.realtime.presence(channel)).length === 1, 'the member to be gone');

    const late = other.realtime.subscribe(channel, { from: first.position });
    assert.deepEqual((await late.next()).value.data, { n: 1 });
    const revoked = fetch(`${cluster.url}/api/v1/realtime/revoke`, { method: 'POST', headers: { authorization: `Bearer ${cluster.apiKey}` }, body: JSON.stringify({ channel }) });
    assert.equal((await revoked).status, 200);
    const rest = [];
    await assert.rejects(async () => {
      for await (const event of late) rest.push(event);
    }, { code: 'permission_denied' });
    assert.equal(rest.at(-1).type, 'end');
    await assert.rejects(client.subscribe('users', { kind: 'table' }).next(), { code: 'not_found', errorCode: 'NOT_FOUND' });
  });
}

test('the README\'s first example runs as it stands', async (t) => {
  const readme = readFileSync(join(root, 'clients/js/README.md'), 'utf8');
  const folder = mkdtempSync(join(tmpdir(), 'rm-js-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'node_modules/@raymesh'), { recursive: true });
  symlinkSync(join(root, 'clients/js'), join(folder, 'node_modules/@raymesh/client'));
  symlinkSync(join(root, 'tests/node_modules/ws'), join(folder, 'node_modules/ws'));
  writeFileSync(join(folder, 'hello.mjs'), readme.match(/```js\n(.*?)```/s)[1]);
  for (const count of [1, 2]) {
    const said = run(process.execPath, [join(folder, 'hello.mjs')], { env: { RAYMESH_URL: cluster.url, RAYMESH_API_KEY: cluster.apiKey }, timeout: 60_000 });
    assert.equal(said, `${count}\nmessage { text: 'hello' }\n`);
  }
});
