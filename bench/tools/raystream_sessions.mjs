// Begins raystream sessions, or resumes them, one after the other on some connections at a time, and says what that cost each process in CPU:
// node raystream_sessions.mjs '{"url", "port", "api_key", "pids": {name: pid}, "resumed", "sessions", "subscriptions", "parallel"}'
// A new session is a handshake, auth.attach with a user's token, and its SUBSCRIBEs; a resumed one a handshake and RESUME that names as many, and
// the HEARTBEAT after it. Prints a line of JSON. The client is that of tests/interop; its own cost does not count.
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fetchPins, connectRaystream } from '../../tests/support/raystream.mjs';

const o = JSON.parse(process.argv[2]);
const kChannel = 2;

const post = async (path, body) => {
  const response = await fetch(`${o.url}/api/v1/${path}`, { method: 'POST', body: JSON.stringify(body), headers: { authorization: `Bearer ${o.api_key}`, 'content-type': 'application/json' } });
  if (response.status >= 300) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
};
const login = { email: `${randomBytes(6).toString('hex')}@example.com`, password: 'correct horse battery' };
await post('auth/signup', login);
const token = (await post('auth/login', login)).tokens.AccessToken;
const pins = await fetchPins(o.url, o.api_key);

/** Nanoseconds of CPU of all threads. */
const cpu = (pid) => readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0);

const open = async (resume) => {
  const client = connectRaystream({ port: o.port }, { pins, resume, ciphers: ['chacha20-poly1305'] });
  await client.ready;
  return client;
};
const names = (n) => Array.from({ length: o.subscriptions }, (_, i) => `bench-${n}-${i}`);

async function begin(n) {
  const client = await open();
  await client.attach(o.api_key, token);
  client.positions = await Promise.all(names(n).map(async (name) => ({ kind: kChannel, name, position: (await client.subscribe(kChannel, name)).position })));
  return client;
}

async function resume(of) {
  const client = await open({ sessionId: of.sessionId, secret: Buffer.from(of.resumption) });
  if (!client.resumed) throw new Error('not resumed');
  const { ended } = await client.sendResume(of.positions);
  if (ended.length > 0) throw new Error(`${ended.length} subscriptions did not go on`);
  client.positions = of.positions;
  client.heartbeat();
  await client.call('raystream.echo');
  return client;
}

const drop = (client) => {
  client.socket.destroy();
  return client.ended;
};

async function run(count) {
  let left = count;
  await Promise.all(Array.from({ length: o.parallel }, async (_, n) => {
    let client = o.resumed ? sessions[n] : undefined;
    while (left-- > 0) {
      const next = o.resumed ? await resume(client) : await begin(n);
      if (!o.resumed) await next.call('raystream.echo');
      await drop(next);
      client = next;
    }
    sessions[n] = client;
  }));
}

const sessions = [];
if (o.resumed) for (let n = 0; n < o.parallel; ++n) await drop((sessions[n] = await begin(n)));
await run(o.parallel * 4);
const before = Object.fromEntries(Object.entries(o.pids).map(([name, pid]) => [name, cpu(pid)]));
const begun = performance.now();
await run(o.sessions);
const seconds = (performance.now() - begun) / 1000;
const micros = Object.fromEntries(Object.entries(o.pids).map(([name, pid]) => [name, (cpu(pid) - before[name]) / 1000 / o.sessions]));
console.log(JSON.stringify({ seconds, sessions: o.sessions, micros }));
process.exit(0);
