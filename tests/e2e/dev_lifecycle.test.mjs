// `raymesh dev`, the real program: new and existing folders, stopping, being killed, recovering, refusing.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bin } from '../support/paths.mjs';
import { run, waitFor } from '../support/processes.mjs';
import { Postgres, Redis } from '../support/stores.mjs';
import { Dev, allEnded, alive, kAnyPorts, temporaryFolder } from './dev.mjs';

const kNotes = 'CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL)';
const folderIn = (t) => join(temporaryFolder(t), 'data');

test('a new folder: everything answers, secrets are the owner\'s alone, nothing listens for others', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  t.diagnostic(`ready after ${dev.startMs} ms`);
  await dev.migrate(kNotes);
  await dev.insert('hello');
  assert.deepEqual(await dev.notes(), ['hello']);
  assert.deepEqual((await dev.api('PUT', '/api/v1/cache/kv/k', { a: 1 })).json, { set: true });
  assert.deepEqual((await dev.api('GET', '/api/v1/cache/kv/k')).json, { value: { a: 1 } });
  assert.equal((await dev.api('POST', '/api/v1/realtime/publish', { channel: 'c', payload: 1 })).json.delivered, 0);
  const ready = await fetch(`${dev.told.ops_url}/readyz`);
  assert.equal(ready.status, 200, await ready.text());

  for (const name of ['secrets.json', 'dev-server.json', 'lock', 'children', 'version'])
    assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
  for (const name of ['postgres', 'redis-cache', 'redis-state', 'run', 'log'])
    assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
  const secrets = Object.values(JSON.parse(readFileSync(join(folder, 'secrets.json'), 'utf8')));
  for (const pid of Object.values(dev.servers())) {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    for (const secret of secrets) assert.ok(!commandLine.includes(secret), 'a secret on a command line');
    if (process.getuid() === 0) assert.notEqual(statSync(`/proc/${pid}`).uid, 0, 'a server runs as root');
  }
  for (const secret of secrets) assert.ok(!dev.child.output.includes(secret), 'a secret in the output');
  assert.throws(() => run('psql', ['-X', `postgresql://raymesh_admin@/raymesh?host=${encodeURIComponent(join(folder, 'run'))}`, '-w', '-c', 'SELECT 1']), /password|Permission denied/);
  await dev.stop('SIGINT');
});

test('an existing folder keeps tables, cache entries, users and tokens', async (t) => {
  const folder = folderIn(t);
  let dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  await dev.insert('kept');
  await dev.api('PUT', '/api/v1/cache/kv/k', 'kept');
  const user = { email: 'ada@example.com', password: 'correct horse battery' };
  assert.equal((await dev.api('POST', '/api/v1/auth/signup', user)).status, 200);
  const { AccessToken: token } = (await dev.api('POST', '/api/v1/auth/login', user)).json.tokens;
  await dev.stop();

  dev = await Dev.start(t, folder);
  t.diagnostic(`ready after ${dev.startMs} ms`);
  assert.deepEqual(await dev.notes(), ['kept']);
  assert.deepEqual((await dev.api('GET', '/api/v1/cache/kv/k')).json, { value: 'kept' });
  const me = await fetch(`${dev.told.url}/api/v1/auth/me`, {
    method: 'POST', body: '{}', headers: { authorization: `Bearer ${dev.told.api_key}`, 'x-access-token': token },
  });
  assert.equal((await me.json()).user?.email, user.email);
  await dev.stop();
});

for (const signal of ['SIGINT', 'SIGTERM'])
  test(`${signal} stops everything, in order and with exit code 0`, async (t) => {
    const folder = folderIn(t);
    const dev = await Dev.start(t, folder);
    const servers = dev.servers();
    assert.deepEqual(Object.keys(servers).sort(), ['postgres', 'redis-cache', 'redis-state']);
    for (const pid of Object.values(servers)) assert.ok(alive(pid));
    await dev.stop(signal);
    for (const [name, pid] of Object.entries(servers)) assert.ok(!alive(pid), `${name} is left`);
    assert.ok(!existsSync(join(folder, 'dev-server.json')));
    assert.ok(!existsSync(join(folder, 'postgres/data/postmaster.pid')), 'PostgreSQL was shut down cleanly');
    assert.equal(readFileSync(join(folder, 'lock'), 'utf8'), '');
  });

test('a folder in use is refused with the pid of its user', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  const { code, said } = await new Dev(t, ['--data-dir', folder, ...kAnyPorts]).refusal();
  assert.equal(code, 1);
  assert.match(said, new RegExp(`in use by another .*\\(pid ${dev.pid}\\)`));
  assert.equal((await dev.api('GET', '/api/v1/info')).status, 200, 'the first one is not disturbed');
  await dev.stop();
});

test('kill -9 leaves no server behind, and the next start finds every acknowledged write', async (t) => {
  const folder = folderIn(t);
  let dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  const written = [];
  const writer = (async () => {
    for (let i = 0; ; ++i) {
      await dev.insert(`n${i}`);
      written.push(`n${i}`);
    }
  })().catch(() => {});
  await waitFor(() => written.length >= 50, 'some writes');
  const servers = dev.servers();
  await dev.kill();
  await writer;
  // Started at once, while the servers may still be ending.
  dev = await Dev.start(t, folder);
  await allEnded(servers);
  const found = new Set(await dev.notes());
  for (const text of written) assert.ok(found.has(text), `${text} is lost`);
  await dev.stop();
});

test('a start after everything was killed, servers too', async (t) => {
  const folder = folderIn(t);
  let dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  await dev.insert('kept');
  const servers = dev.servers();
  process.kill(dev.pid, 'SIGSTOP');  // it must not start them again
  for (const pid of Object.values(servers)) process.kill(pid, 'SIGKILL');
  await dev.kill();
  await allEnded(servers);
  assert.ok(existsSync(join(folder, 'postgres/data/postmaster.pid')), 'a crash leaves this');
  assert.ok(existsSync(join(folder, 'run/cache.sock')), 'and this');
  // The pid in the stale file may by now be another program's: ours, say.
  const stale = readFileSync(join(folder, 'postgres/data/postmaster.pid'), 'utf8').split('\n');
  stale[0] = String(process.pid);
  writeFileSync(join(folder, 'postgres/data/postmaster.pid'), stale.join('\n'));
  dev = await Dev.start(t, folder);
  assert.deepEqual(await dev.notes(), ['kept']);
  await dev.stop();
});

test('a private server that dies is started again, and the log says so', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  await dev.insert('kept');
  const before = dev.servers();
  for (const name of ['postgres', 'redis-cache', 'redis-state']) process.kill(before[name], 'SIGKILL');
  await waitFor(async () => {
    const now = dev.servers();
    return Object.keys(before).every((name) => now[name] && now[name] !== before[name]);
  }, 'new servers');
  await waitFor(async () => (await dev.api('POST', '/api/v1/db', { operation: 'find', tableName: 'notes' })).status === 200, 'the database to answer');
  await waitFor(async () => (await dev.api('PUT', '/api/v1/cache/kv/k', 1)).status === 200, 'the cache to answer');
  assert.deepEqual(await dev.notes(), ['kept']);
  assert.match(dev.child.output, /private server ended and is started again.*PostgreSQL/);
  await dev.stop();
});

test('an older folder is upgraded', async (t) => {
  const folder = folderIn(t);
  let dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  await dev.insert('kept');
  await dev.stop();
  // Version 1 had no password for Redis.
  const file = join(folder, 'secrets.json');
  const { redis, ...secrets } = JSON.parse(readFileSync(file, 'utf8'));
  assert.ok(redis);
  writeFileSync(file, JSON.stringify(secrets));
  writeFileSync(join(folder, 'version'), '1\n');

  dev = await Dev.start(t, folder);
  assert.deepEqual(await dev.notes(), ['kept']);
  assert.equal((await dev.api('PUT', '/api/v1/cache/kv/k', 1)).status, 200);
  assert.ok(JSON.parse(readFileSync(file, 'utf8')).redis);
  assert.equal(JSON.parse(readFileSync(file, 'utf8')).authRole, secrets.authRole);
  assert.equal(readFileSync(join(folder, 'version'), 'utf8').trim(), '2');
  await dev.stop();
});

test('who ends it while it waits for what is not there need not wait', async (t) => {
  const folder = folderIn(t);
  const dev = new Dev(t, ['--data-dir', folder, ...kAnyPorts, '--realtime-broker', 'redis', '--realtime-state-url', `unix:${folder}/nobody.sock`]);
  await dev.child.says('cannot reach Redis', 60_000);
  dev.child.signal('SIGTERM');
  const { code, said } = await dev.refusal();
  assert.equal(code, 1);
  assert.match(said, /raymesh: stopped before it was ready: /);
});

test('a newer folder, and one that holds something else, are refused and left alone', async (t) => {
  const newer = folderIn(t);
  mkdirSync(newer);
  writeFileSync(join(newer, 'version'), '99\n');
  let { code, said } = await new Dev(t, ['--data-dir', newer, ...kAnyPorts]).refusal();
  assert.equal(code, 1);
  assert.match(said, /newer raymesh \(folder version 99/);
  assert.equal(readFileSync(join(newer, 'version'), 'utf8'), '99\n');

  const foreign = folderIn(t);
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'thesis.doc'), 'x');
  ({ code, said } = await new Dev(t, ['--data-dir', foreign, ...kAnyPorts]).refusal());
  assert.equal(code, 1);
  assert.match(said, /holds something else \(thesis\.doc\)/);
  assert.ok(!existsSync(join(foreign, 'postgres')));
});

test('a newer database is refused', async (t) => {
  const folder = folderIn(t);
  let dev = await Dev.start(t, folder);
  const { postgresUrl } = JSON.parse(readFileSync(join(folder, 'dev-server.json'), 'utf8'));
  run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', postgresUrl, '-c', "INSERT INTO raymesh_auth.schema_migrations SELECT (jsonb_populate_record(m, jsonb_build_object('version', 999))).* FROM raymesh_auth.schema_migrations m LIMIT 1"]);
  await dev.stop();
  const { code, said } = await new Dev(t, ['--data-dir', folder, ...kAnyPorts]).refusal();
  assert.equal(code, 1);
  assert.match(said, /newer/);
});

test('bad options are refused with a message and exit code 2', async (t) => {
  const cases = [
    [['--listen', '0.0.0.0'], /everybody knows the key dc_local_dev/],
    [['--listen', '192.0.2.1', '--api-key', 'dc_local_dev'], /everybody knows the key/],
    [['--api-key', 'nothing'], /must begin with dc_/],
    [['--project', 'Not One'], /no project id/],
    [['--port', '70000'], /port/],
    [['--prot', '1'], /prot/],
    [['extra'], /unexpected argument/],
    [['--redis-url', 'a:1,b:1,c:1'], /one address, or two/],
  ];
  for (const [args, message] of cases) {
    const folder = folderIn(t);
    const { code, said } = await new Dev(t, ['--data-dir', folder, ...args]).refusal();
    assert.equal(code, 2, `${args}: ${said}`);
    assert.match(said, message);
    assert.ok(!existsSync(folder), 'nothing has been made');
  }
});

test('a port that is taken is named, and no server is left', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  const other = folderIn(t);
  const port = new URL(dev.told.url).port;
  const { code, said } = await new Dev(t, ['--data-dir', other, '--port', port, '--realtime-port', '0', '--raystream-port', '0', '--ops-port', '0']).refusal();
  assert.equal(code, 1);
  assert.match(said, new RegExp(port));
  assert.equal(readFileSync(join(other, 'children'), 'utf8'), '');
  await dev.stop();
});

test('--ephemeral leaves nothing', async (t) => {
  const before = new Set(readdirSync(tmpdir()));
  const dev = new Dev(t, ['--ephemeral', '--json', ...kAnyPorts]);
  await dev.ready();
  assert.ok(!before.has(dev.told.data_dir.split('/').pop()));
  await dev.migrate(kNotes);
  await dev.stop();
  assert.ok(!existsSync(dev.told.data_dir));
});

test('a long path and one with spaces', async (t) => {
  const folder = join(temporaryFolder(t), 'a folder with spaces', 'and-a-name-that-is-too-long-for-a-socket-'.repeat(3));
  const dev = await Dev.start(t, folder);
  await dev.migrate(kNotes);
  await dev.insert('x');
  assert.equal((await dev.api('PUT', '/api/v1/cache/kv/k', 1)).status, 200);
  await dev.stop();
});

test('the ready file and the block for people say the same', async (t) => {
  const base = temporaryFolder(t);
  const ready = join(base, 'ready.json');
  const dev = new Dev(t, ['--data-dir', join(base, 'data'), ...kAnyPorts, '--ready-file', ready, '--api-key', 'dc_mine', '--project', 'shop']);
  await dev.child.says('raymesh ready', 60_000);
  const told = JSON.parse(readFileSync(ready, 'utf8'));
  assert.equal(told.api_key, 'dc_mine');
  assert.equal(told.project, 'shop');
  for (const value of [told.url, told.realtime_url, told.ops_url, 'dc_mine', 'project shop', told.data_dir])
    assert.ok(dev.child.output.includes(value), value);
  dev.told = told;
  const info = await dev.api('GET', '/api/v1/info');
  assert.equal(info.json.project.id, 'shop');
  await dev.stop();
});

test('servers that exist are used as they are told', async (t) => {
  const base = temporaryFolder(t);
  const postgres = new Postgres(join(base, 'pg'));
  const redis = new Redis(join(base, 'redis'));
  t.after(() => Promise.all([postgres.stop(), redis.stop()]));
  await Promise.all([postgres.ready(), redis.ready()]);
  postgres.sql(`CREATE DATABASE ${postgres.database}`, 'postgres');
  const dev = await Dev.start(t, join(base, 'data'), '--postgres-url', postgres.url(), '--redis-url', redis.url);
  await dev.migrate(kNotes);
  await dev.insert('there');
  assert.equal(postgres.sql('SELECT text FROM p_dev.notes'), 'there');
  await dev.api('PUT', '/api/v1/cache/kv/k', 1);
  assert.equal(run('redis-cli', ['-s', redis.socket, 'GET', 'v:dev:k']).trim(), '1');
  assert.ok(!existsSync(join(base, 'data/postgres')));
  await dev.stop();
});

test('as a user without rights', async (t) => {
  if (process.getuid() !== 0) return;  // all the other tests are this one then
  const base = temporaryFolder(t);
  chmodSync(base, 0o755);
  const user = { uid: Number(run('id', ['-u', 'nobody'])), gid: Number(run('id', ['-g', 'nobody'])), cwd: '/' };
  const home = join(base, 'home');
  mkdirSync(home);
  run('chown', ['nobody', home]);
  copyFileSync(join(bin, 'raymesh'), join(base, 'raymesh'));
  chmodSync(join(base, 'raymesh'), 0o755);
  const dev = new Dev(t, ['--data-dir', join(home, 'data'), '--json', ...kAnyPorts], { program: join(base, 'raymesh'), user });
  await dev.ready();
  await dev.migrate(kNotes);
  for (const pid of Object.values(dev.servers())) assert.equal(statSync(`/proc/${pid}`).uid, user.uid);
  await dev.stop();
});

test('as root in a folder that the servers\' user cannot reach', async (t) => {
  if (process.getuid() !== 0) return;  // there is no other user then
  const base = temporaryFolder(t);
  chmodSync(base, 0o700);
  const folder = join(base, 'data');
  let dev = await Dev.start(t, folder);
  const elsewhere = readFileSync(join(folder, 'servers'), 'utf8').trim();
  t.after(() => run('rm', ['-rf', elsewhere]));
  await dev.migrate(kNotes);
  await dev.insert('kept');
  await dev.stop();
  assert.equal(statSync(base).mode & 0o777, 0o700, 'rights above the folder are not ours to change');
  dev = await Dev.start(t, folder);
  assert.deepEqual(await dev.notes(), ['kept']);
  await dev.stop();
});

test('other commands find the server of a running one', async (t) => {
  const folder = folderIn(t);
  const dev = await Dev.start(t, folder);
  const raymesh = (...args) => run(join(bin, 'raymesh'), [...args, '--data-dir', folder], { env: { PATH: process.env.PATH } });
  raymesh('project', 'create', 'second');
  const { key } = JSON.parse(raymesh('key', 'create', '--project', 'second', '--json'));
  dev.told.api_key = key;
  assert.equal((await dev.api('GET', '/api/v1/info')).json.project.id, 'second');
  await dev.migrate(kNotes);
  await dev.stop();
});
