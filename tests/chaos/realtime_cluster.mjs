// N realtime nodes as processes behind one gateway, with either broker, each with its own link to Redis that can fail, and the scenario
// that every fault test of realtime is: clients of all kinds, a steady load, a fault, quiet, and the checker's verdict.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../support/cluster.mjs';
import { Host } from '../support/namespaces.mjs';
import { bin } from '../support/paths.mjs';
import { waitFor } from '../support/processes.mjs';
import { Redis } from '../support/stores.mjs';
import { TcpProxy } from '../support/tcp_proxy.mjs';
import { check } from './realtime_checker.mjs';
import { HttpPublisher, PlainClient, pause, Recorder, SocketPublisher, SseClient, V1Client } from './realtime_client.mjs';

/** What channels keep: `h:` enough for every test, `n:` nothing, `d:` nothing, and gaps for slow readers. */
const kRules = ['h:* history=20000 history-ttl=10m', 's:* history=20000 history-ttl=10m', 'd:* slow=drop'];
/** How long a dead node's members may be seen; short, so that a test needs not wait the ten seconds of the default, but with two seconds of it
 *  for the lease, which a machine that is busy must not take from a node that has no fault. */
export const kPresenceTimeoutMs = Number(process.env.REALTIME_PRESENCE_TIMEOUT_MS ?? 4000);
/** How long presence may lag behind joins and clean ends; much more than it takes, for a machine that is busy. */
const kPresenceLagMs = 1500;

export class RealtimeCluster {
  /** `options`: broker ('memory' or 'redis'), nodes, flags (more of every node), rules (of channels), links (whether
   *  each node reaches Redis through a TcpProxy), namespace (whether Redis is on a host of its own, to which each node
   *  has a network link; needs root). */
  static async start({ broker = 'memory', nodes = 1, flags = [], rules = kRules, links = true, namespace = false } = {}) {
    const c = new RealtimeCluster();
    c.broker = broker;
    c.links = [];
    try {
      if (namespace) c.host = new Host(nodes);
      if (broker === 'redis') await c.#startRedis();
      const flagsOf = async () => [...flags, '--channel-rules', rules.join(','), ...(broker === 'redis' ? await c.#redisFlags(links) : [])];
      c.cluster = await startCluster('separate', { realtimeFlags: await flagsOf() });
      c.nodes = [c.cluster.services.realtime];
      c.urls = [c.cluster.realtimeUrl];
      while (c.nodes.length < nodes) {
        const node = await c.cluster.add('realtime', ...(await flagsOf()));
        c.nodes.push(node);
        c.urls.push(`ws://127.0.0.1:${node.port}`);
      }
      c.ops = c.nodes.map((n) => new URL(n.readyUrl).origin);
      const peers = [c.cluster.grpc.realtime, ...c.nodes.slice(1).map((n) => n.args[n.args.indexOf('--listen') + 1])];
      c.gateway = await c.cluster.add('gateway', '--realtime-peers', peers.join(','));
      c.url = `http://127.0.0.1:${c.gateway.port}`;
      return c;
    } catch (error) {
      await c.stop();
      throw error;
    }
  }

  async #startRedis() {
    this.folder = mkdtempSync(join(tmpdir(), 'rm-'));
    this.password = randomBytes(16).toString('hex');
    this.redis = new Redis(join(this.folder, 'state'), { args: ['--appendonly', 'yes', '--appendfsync', 'no', '--requirepass', this.password, ...(this.host ? ['--port', '6379', '--bind', '0.0.0.0'] : [])], prefix: this.host?.prefix });
    await this.#redisReady();
  }

  #redisReady() {
    return waitFor(() => this.redisCommand('PING') === 'PONG', 'Redis to answer');
  }

  redisCommand(...command) {
    return this.redis.command(this.password, ...command);
  }

  async #redisFlags(links) {
    let url = this.redis.url;
    if (this.host) {
      const link = this.host.links[this.links.length];
      this.links.push(link);
      url = `redis://${link.address}:6379`;
    } else if (links) {
      const link = await TcpProxy.start({ path: this.redis.socket });
      this.links.push(link);
      url = `redis://127.0.0.1:${link.port}`;
    }
    this.passwordFile ??= join(this.folder, 'password');
    writeFileSync(this.passwordFile, this.password, { mode: 0o600 });
    return ['--broker', 'redis', '--state-url', url, '--state-password-file', this.passwordFile, '--presence-timeout', `${kPresenceTimeoutMs}ms`];
  }

  async killRedis() {
    this.redis.child.signal('SIGKILL');
    await this.redis.child.ended();
  }

  /** `data`: 'kept' or 'lost'. */
  async startRedisAgain(data) {
    if (data === 'lost') rmSync(join(this.redis.folder, 'appendonlydir'), { recursive: true, force: true });
    this.redis.start();
    await this.#redisReady();
  }

  /** Starts a node or Redis again with a wall clock that the function shifts by so many milliseconds; the machine's stays as it is. */
  async shiftable(what) {
    const file = join(this.folder, `clock-${this.clocks = (this.clocks ?? 0) + 1}`);
    const set = (ms) => writeFileSync(file, new BigInt64Array([BigInt(ms)]), { flag: existsSync(file) ? 'r+' : 'w' });
    set(0);
    what.env = { CLOCK_SHIFT_FILE: file, LD_PRELOAD: join(bin, 'clock_shift.so') };
    await what.stop();
    await what.start();
    if (what === this.redis) await this.#redisReady();
    return set;
  }

  /** A copy of Redis's data as it is now, for restoreRedis. */
  saveRedis() {
    const copy = join(this.folder, 'saved');
    rmSync(copy, { recursive: true, force: true });
    cpSync(join(this.redis.folder, 'appendonlydir'), copy, { recursive: true });
    return copy;
  }

  restoreRedis(copy) {
    rmSync(join(this.redis.folder, 'appendonlydir'), { recursive: true, force: true });
    cpSync(copy, join(this.redis.folder, 'appendonlydir'), { recursive: true });
  }

  api = async (method, path, body) => {
    try {
      const response = await fetch(this.url + path, {
        method,
        headers: { authorization: `Bearer ${this.cluster.apiKey}`, 'content-type': 'application/json' },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(15_000),
      });
      const text = await response.text();
      return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
    } catch (error) {
      return { status: 0, error };
    }
  };

  /** Waits until all nodes say that they can serve. */
  ready() {
    const answers = async (node) => (await fetch(node.readyUrl).catch(() => null))?.ok === true;
    return waitFor(async () => (await Promise.all(this.nodes.map(answers))).every(Boolean), 'all nodes to be ready', 30_000);
  }

  /** A function that mints tokens for these channels, until one is given. */
  minter(channels) {
    return (identity) =>
      waitFor(async () => {
        const r = await this.api('POST', '/api/v1/realtime/token', { channels, identity });
        if (r.status === 400) throw Object.assign(new Error(JSON.stringify(r.json)));
        return r.status === 200 && r.json.token;
      }, `a token for ${identity}`, 30_000);
  }

  async metric(node, name) {
    const text = await (await fetch(`${this.ops[node]}/metrics`)).text();
    const line = text.split('\n').find((l) => l.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  /** Resident memory of a process, in bytes. */
  rss(pid) {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
  }

  async stop() {
    const problems = (await this.cluster?.stop()) ?? [];
    await this.redis?.stop().catch((e) => problems.push(e.message));
    if (this.host) this.host.stop();
    else await Promise.all((this.links ?? []).map((l) => l.stop()));
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
    return problems;
  }
}

/** Clients of every kind on some dozens of channels, publishers, presence reads, and at the end the verdict. */
export class Scene {
  /** `options`: check (of the checker), v1, plain, sse (how many of each), channels (how many), everyMs (between publishes). */
  constructor(cluster, options = {}) {
    this.cluster = cluster;
    this.options = { v1: 12, plain: 6, sse: 4, channels: 32, everyMs: 3, httpEveryMs: 20, ...options };
    this.recorder = new Recorder();
    const tag = randomBytes(3).toString('hex');
    this.channels = Array.from({ length: this.options.channels }, (_, i) => `${i % 2 === 0 ? 'h' : 'n'}:${tag}:${i}`);
    this.clients = [];
    this.publishers = [];
  }

  some(from, n) {
    return Array.from({ length: n }, (_, i) => this.channels[(from * 5 + i * 3) % this.channels.length]).filter((c, i, all) => all.indexOf(c) === i);
  }

  async start() {
    const { cluster, recorder, options } = this;
    const common = (name, channels, i) => ({ name, channels, urls: cluster.urls, node: i % cluster.urls.length, token: cluster.minter(channels) });
    for (let i = 0; i < options.v1; i++) {
      const channels = this.some(i, 8);
      // Every other one notices a silent node by its own pings, as careful clients do; the rest wait for the server.
      this.clients.push(new V1Client(recorder, { ...common(`v${i}`, channels, i), presence: channels.slice(0, 3), pingMs: i % 4 < 2 ? 500 : 0 }));
    }
    for (let i = 0; i < options.plain; i++) this.clients.push(new PlainClient(recorder, { ...common(`p${i}`, this.some(i + 3, 5), i), pingMs: i % 4 < 2 ? 500 : 0 }));
    for (let i = 0; i < options.sse; i++) this.clients.push(new SseClient(recorder, common(`e${i}`, this.some(i + 7, 4), i)));
    await Promise.all(this.clients.map((c) => c.start()));
    await this.ready();
    const publishers = cluster.urls.map((_, i) => new SocketPublisher(recorder, { ...common(`w${i}`, this.channels, i), everyMs: options.everyMs * cluster.urls.length, pingMs: 500 }));
    for (let i = 0; i < 2; i++) publishers.push(new HttpPublisher(recorder, { name: `http${i}`, api: cluster.api, channels: i === 0 ? this.channels : [...this.channels].reverse(), everyMs: options.httpEveryMs }));
    this.publishers = publishers;
    await Promise.all(publishers.map((p) => p.start()));
    this.reading = true;
    this.reader = this.#read();
    await this.flowing(300);
    return this;
  }

  async #read() {
    for (let i = 0; this.reading; i++) {
      await this.recorder.readPresence(this.cluster.api, this.channels[i % this.channels.length]);
      await pause(60);
    }
  }

  /** Others move while a fault lasts: of the clients that are not on `node`, some reconnect and one v1 client leaves for good. Some of
   *  them come to `node`. */
  async churn(node) {
    const others = this.clients.filter((c) => c.running && c.session.node !== node && c.ready);
    const leaving = others.filter((c) => c.kind === 'v1' && c.pingMs > 0)[0];
    if (leaving) {
      leaving.finished = true;
      await leaving.close();
    }
    others.filter((c) => c !== leaving && c.socket).filter((_, i) => i % 3 === 0).forEach((c) => c.drop());
  }

  ready(ms = 30_000) {
    return waitFor(() => this.clients.every((c) => c.ready || !c.running), 'every client to be served', ms).catch((error) => {
      const late = this.clients.filter((c) => !c.ready).map((c) => `${c.name}: node ${c.node}, ${JSON.stringify(c.session && { opened: c.session.opened, ended: c.session.ended, end: c.session.end, log: c.session.log.slice(-3) })}`);
      throw new Error(`${error.message}: ${late.slice(0, 5).join('\n')}`);
    });
  }

  /** Waits for `n` more acknowledged publishes. */
  flowing(n, ms = 30_000) {
    const acknowledged = () => this.recorder.publishes.reduce((sum, p) => sum + (p.outcome === 'ok'), 0);
    const from = acknowledged();
    return waitFor(() => acknowledged() >= from + n, `${n} more acknowledged publishes: ${JSON.stringify(this.tally())}`, ms);
  }

  tally() {
    const counts = {};
    for (const p of this.recorder.publishes) {
      const key = p.outcome === 'ok' ? 'ok' : `${p.outcome} ${p.code ?? ''}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  /** Ends the load, sends each channel a last message, waits for everybody to have it, and gives the checker's verdict. */
  async finish(t, checkOptions = {}) {
    await this.ready();
    await this.#calm();
    await Promise.all(this.publishers.map((p) => p.stop()));
    const last = new HttpPublisher(this.recorder, { name: 'last', api: this.cluster.api, channels: [] });
    const markers = {};
    for (const channel of this.channels)
      markers[channel] = await waitFor(async () => {
        const p = await last.publish(channel);
        return p.outcome === 'ok' && p.id;
      }, `the last publish to ${channel}`);
    const unserved = () => this.clients.filter((c) => c.running && !c.channels.every((channel) => c.at(channel, markers[channel])));
    await waitFor(() => unserved().length === 0, 'every client to have the last messages', 10_000).catch(() => {}); // the checker will say who has not
    this.reading = false;
    await this.reader;
    for (const channel of this.channels) await this.recorder.readPresence(this.cluster.api, channel);
    const history = this.recorder.history();
    const result = check(history, {
      presenceLagMs: kPresenceLagMs,
      presenceBoundMs: this.cluster.broker === 'redis' ? kPresenceTimeoutMs : 0,
      markers,
      served: this.clients.filter((c) => !c.finished).map((c) => ({ client: c.name, channels: c.channels })),
      ...checkOptions,
    });
    await Promise.all(this.clients.map((c) => c.close()));
    t.diagnostic(JSON.stringify({ ...result.stats, ...this.tally(), sessions: history.sessions.length, ends: tallyEnds(history.sessions) }));
    if (process.env.REALTIME_HISTORY) writeFileSync(join(process.env.REALTIME_HISTORY, `${t.name.replace(/\W+/g, '_')}.json`), JSON.stringify({ history, result }));
    judge(result);
    return { history, ...result };
  }

  /** Goes on under load until every bound that presence may take after the last fault is over, so that what is left then counts. */
  async #calm() {
    const until = Math.max(0, ...this.recorder.disturbances.map((d) => d.to + (this.cluster.broker === 'redis' ? kPresenceTimeoutMs : 0) + kPresenceLagMs + 500));
    await pause(Math.max(0, until - this.recorder.now()));
  }

  async abandon() {
    this.reading = false;
    await Promise.all([...this.publishers.map((p) => p.stop()), ...this.clients.map((c) => c.close())]);
  }
}

function tallyEnds(sessions) {
  const counts = {};
  for (const s of sessions) if (s.end) counts[s.end.code] = (counts[s.end.code] ?? 0) + 1;
  return counts;
}

/** Fails with the kinds of violations and the first ones of each. */
export function judge({ violations }) {
  const kinds = new Map();
  for (const v of violations) (kinds.get(v.kind) ?? kinds.set(v.kind, []).get(v.kind)).push(v);
  const text = [...kinds].map(([kind, list]) => `${kind} (${list.length}):\n${list.slice(0, 4).map((v) => `  ${Math.round(v.at ?? 0)} ${v.channel ?? ''} ${v.client ?? ''}: ${v.detail}`).join('\n')}`).join('\n');
  assert.equal(violations.length, 0, text);
}

/** Runs `body(scene)` with its clients ended in any case. */
export async function withScene(cluster, options, body) {
  const scene = new Scene(cluster, options);
  try {
    await scene.start();
    return await body(scene);
  } finally {
    await scene.abandon();
  }
}
