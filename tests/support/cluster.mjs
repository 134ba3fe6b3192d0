// A whole cluster for tests, in two forms that must serve the same: `separate` (five processes over mutual TLS, with PostgreSQL and
// Redis of their own) and `dev` (one `raymesh dev`). startCluster gives addresses, keys, processes to kill, and stop().
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bin } from './paths.mjs';
import { Child, freePorts, run, waitFor } from './processes.mjs';
import { PG_BIN, Postgres, Redis } from './stores.mjs';

const kProject = 'dev';
const kOtherProject = 'other';

/** `options.realtimeFlags`: more flags of every realtime node; `options.realtimeNodes`: how many of them (1); `options.realtimeBroker`: memory or
 * redis. For `separate`. */
export function startCluster(mode, options = {}) {
  if (mode === 'separate') return SeparateCluster.start(options);
  if (mode === 'dev') return DevCluster.start();
  throw new Error(`unknown mode '${mode}': separate or dev`);
}

class Cluster {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'rm-'));
    chmodSync(this.folder, 0o711); // PostgreSQL runs as another user when we are root
    this.project = kProject;
    this.otherProject = kOtherProject;
  }

  raymesh(...args) {
    return run(join(bin, 'raymesh'), args, { env: { PATH: process.env.PATH } });
  }

  async migrate(sql) {
    const response = await fetch(`${this.url}/api/v1/db/migrate`, {
      method: 'POST',
      body: JSON.stringify({ sql }),
      headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
    });
    if (response.status !== 200) throw new Error(`migrate: ${response.status} ${await response.text()}`);
  }

  removeFolder() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One process of ours that can be killed and started again. */
class Service {
  constructor(name, command, args, readyUrl, log, env) {
    Object.assign(this, { name, command, args, readyUrl, log, env });
  }

  get pid() {
    return this.child.pid;
  }

  async start() {
    this.child = new Child(this.name, this.command, this.args, { log: this.log, env: { PATH: process.env.PATH, ...this.env } });
    await waitFor(async () => {
      if (this.child.exited) throw new Error(`${this.name} ended: ${this.child.output.slice(-3000)}`);
      return (await fetch(this.readyUrl)).status === 200;
    }, `${this.name} to be ready`);
  }

  stop() {
    return this.child.stop();
  }

  async kill() {
    this.child.signal('SIGKILL');
    await this.child.ended();
  }
}

class SeparateCluster extends Cluster {
  static async start({ realtimeFlags = [], realtimeNodes = 1, realtimeBroker = 'memory' }) {
    const c = new SeparateCluster();
    try {
      await c.#start(realtimeFlags, realtimeNodes, realtimeBroker);
      return c;
    } catch (error) {
      await c.stop();
      throw error;
    }
  }

  async #start(realtimeFlags, realtimeNodes, realtimeBroker) {
    const file = (name, content) => {
      writeFileSync(join(this.folder, name), content, { mode: 0o600 });
      return join(this.folder, name);
    };
    const secret = () => randomBytes(24).toString('hex');
    this.postgres = new Postgres(join(this.folder, 'pg'));
    this.redis = [new Redis(join(this.folder, 'rc'), { evict: true }), new Redis(join(this.folder, 'rs'))];
    await Promise.all([this.postgres.ready(), ...this.redis.map((r) => r.ready())]);
    this.postgres.sql(`CREATE DATABASE ${this.postgres.database}`, 'postgres');

    const passwords = { auth: secret(), storage: secret(), project: secret() };
    const admin = (this.admin = ['--postgres-url-file', file('admin-url', this.postgres.url())]);
    const projectSecret = file('project-secret', passwords.project);
    this.raymesh('migrate', ...admin, '--auth-password-file', file('auth-password', passwords.auth), '--storage-password-file', file('storage-password', passwords.storage));
    const keyOf = (project) => {
      this.raymesh('project', 'create', project, ...admin, '--project-role-secret-file', projectSecret);
      return JSON.parse(this.raymesh('key', 'create', '--project', project, '--json', ...admin)).key;
    };
    this.createKey = (...options) => JSON.parse(this.raymesh('key', 'create', '--project', kProject, '--json', ...options, ...admin));
    this.apiKey = keyOf(kProject);
    this.otherApiKey = keyOf(kOtherProject);
    this.schema = `p_${kProject}`;
    this.certificates = join(this.folder, 'certs');
    this.raymesh('certs', 'dev', '--out', this.certificates);

    const names = ['auth', 'storage', 'cache', 'realtime', 'gateway'];
    const ports = await freePorts(13);
    const [gatewayPort, realtimePort, raystreamPort] = ports.splice(0, 3);
    this.raystreamPort = raystreamPort;
    this.raystreamKeys = join(this.folder, 'raystream-keys');
    this.raymesh('raystream', 'key', 'create', this.raystreamKeys);
    this.raystreamStateKeys = join(this.folder, 'raystream-state-keys');
    this.raymesh('raystream', 'key', 'create', '--state', this.raystreamStateKeys);
    const grpc = Object.fromEntries(names.slice(0, 4).map((n) => [n, ports.shift()]));
    const ops = Object.fromEntries(names.map((n) => [n, ports.shift()]));
    this.names = names;
    this.url = `http://127.0.0.1:${gatewayPort}`;
    this.realtimeUrl = `ws://127.0.0.1:${realtimePort}`;
    this.grpc = Object.fromEntries(Object.entries(grpc).map(([n, p]) => [n, `127.0.0.1:${p}`]));
    this.ops = Object.fromEntries(Object.entries(ops).map(([n, p]) => [n, `http://127.0.0.1:${p}`]));
    // The other realtime nodes, which the gateway knows from its start.
    const others = [];
    while (others.length < realtimeNodes - 1) {
      const [port, rpc, opsPort] = await freePorts(3);
      others.push({ port, rpc, opsPort });
    }
    this.realtimeUrls = [this.realtimeUrl, ...others.map((o) => `ws://127.0.0.1:${o.port}`)];
    const realtimePeers = [this.grpc.realtime, ...others.map((o) => `127.0.0.1:${o.rpc}`)];
    this.serviceTokenKeys = file('service-token-keys', `test:${secret()}`);
    const config = file('raymesh.yaml', `
log-level: info
service-token-keys-file: ${this.serviceTokenKeys}
auth:
  listen: ${this.grpc.auth}
  postgres-url-file: ${file('auth-url', this.postgres.url('raymesh_auth', passwords.auth))}
  token-keys-file: ${file('auth-token-keys', `t1:${secret()}`)}
storage:
  listen: ${this.grpc.storage}
  postgres-url: ${this.#serverUrl()}
  system-url-file: ${file('storage-url', this.postgres.url('raymesh_storage', passwords.storage))}
  project-role-secret-file: ${projectSecret}
cache:
  listen: ${this.grpc.cache}
  cache-url: ${this.redis[0].url}
  state-url: ${this.redis[1].url}
realtime:
  listen: ${this.grpc.realtime}
  public-listen: 127.0.0.1:${realtimePort}
  public-url: ${this.realtimeUrl}
  token-keys-file: ${file('realtime-token-keys', `r1:${secret()}`)}
  max-connections: 15000
  publish-rate: 1000000
  channel-rules: ["hist:* history=100"]
${realtimeBroker === 'redis' ? `  broker: redis\n  state-url: ${this.redis[1].url}\n` : ''}gateway:
  listen: 127.0.0.1:${gatewayPort}
  auth-peers: ${this.grpc.auth}
  storage-peers: ${this.grpc.storage}
  cache-peers: ${this.grpc.cache}
  realtime-peers: ${realtimePeers.join(',')}
  key-rate: 1000000
  key-burst: 1000000
  address-rate: 1000000
  address-burst: 1000000
  raystream-listen: 127.0.0.1:${raystreamPort}
  raystream-keys-file: ${this.raystreamKeys}
  raystream-state-keys-file: ${this.raystreamStateKeys}
  raystream-address-handshake-rate: 1000000
  raystream-address-handshake-burst: 1000000
  raystream-handshake-rate: 1000000
`);
    this.config = config;
    this.services = Object.fromEntries(names.map((n) => [n, this.#service(n, n, ops[n], n === 'realtime' ? realtimeFlags : [])]));
    others.forEach((o, i) => {
      const name = `realtime-${i + 2}`;
      this.services[name] = this.#service(name, 'realtime', o.opsPort, ['--listen', `127.0.0.1:${o.rpc}`, '--public-listen', `127.0.0.1:${o.port}`, ...realtimeFlags]);
      names.splice(4 + i, 0, name);
      this.ops[name] = `http://127.0.0.1:${o.opsPort}`;
    });
    await Promise.all(names.slice(0, -1).map((n) => this.services[n].start()));
    await this.services.gateway.start();
  }

  #service(name, program, opsPort, flags = []) {
    return new Service(name, join(bin, `raymesh-${program}`), [
      '--config', this.config,
      '--ops-listen', `127.0.0.1:${opsPort}`,
      '--mesh-cert', join(this.certificates, `${program}.pem`),
      '--mesh-key', join(this.certificates, `${program}-key.pem`),
      '--mesh-ca', join(this.certificates, 'ca.pem'),
      ...flags,
    ], `http://127.0.0.1:${opsPort}/readyz`, join(this.folder, `${name}.log`));
  }

  /** One more gateway or realtime node, with flags of its own, ready; `port` is its public one, `raystreamPort` a gateway's TCP port. Ends with the cluster. */
  async add(program, ...flags) {
    const [port, grpc, ops] = await freePorts(3);
    const listen = { gateway: ['--listen', `127.0.0.1:${port}`, '--raystream-listen', `127.0.0.1:${grpc}`], realtime: ['--listen', `127.0.0.1:${grpc}`, '--public-listen', `127.0.0.1:${port}`] };
    const name = `${program}-${this.names.length}`;
    const service = (this.services[name] = this.#service(name, program, ops, [...listen[program], ...flags]));
    this.names.push(name);
    await service.start();
    return Object.assign(service, program === 'gateway' ? { port, raystreamPort: grpc } : { port });
  }

  #serverUrl() {
    return `postgresql:///${this.postgres.database}?host=${encodeURIComponent(this.postgres.folder)}&port=${this.postgres.port}`;
  }

  serviceToken(project) {
    return JSON.parse(this.raymesh('token', 'create', '--project', project, '--ttl', '10m', '--service-token-keys-file', this.serviceTokenKeys, '--json')).token;
  }

  /** Plain values, for other programs. */
  describe() {
    const p = this.postgres;
    return {
      url: this.url,
      realtime_url: this.realtimeUrl,
      realtime_urls: this.realtimeUrls,
      raystream_port: this.raystreamPort,
      api_key: this.apiKey,
      project: this.project,
      schema: this.schema,
      ops: this.ops,
      postgres: { bin: PG_BIN, host: p.folder, port: p.port, user: p.user, password: p.password, database: p.database, pid: p.child.pid },
      pids: Object.fromEntries(this.names.map((n) => [n, this.services[n].pid])),
      redis_pids: { cache: this.redis[0].child.pid, state: this.redis[1].child.pid },
    };
  }

  /** Ends everything; gives what was not as it should be. */
  async stop() {
    const problems = [];
    for (const name of [...(this.names ?? [])].reverse()) {
      const service = this.services?.[name];
      if (!service?.child) continue;
      try {
        const { code, signal } = await service.stop();
        if (code !== 0 && signal !== 'SIGKILL') problems.push(`${name} ended with code ${code}, signal ${signal}\n${readFileSync(service.log, 'utf8').slice(-3000)}`);
      } catch (error) {
        problems.push(`${name}: ${error.message}`);
      }
    }
    await Promise.all((this.redis ?? []).map((r) => r.stop().catch((e) => problems.push(e.message))));
    await this.postgres?.stop().catch((e) => problems.push(e.message));
    if (process.env.RAYMESH_KEEP) console.error(`kept: ${this.folder}`);
    else this.removeFolder();
    return problems;
  }
}

class DevCluster extends Cluster {
  static async start() {
    const c = new DevCluster();
    const ready = join(c.folder, 'ready.json');
    c.child = new Child('raymesh dev', join(bin, 'raymesh'), ['dev', '--realtime-channel-rules', 'hist:* history=100', '--data-dir', join(c.folder, 'data'), '--port', '0', '--realtime-port', '0', '--raystream-port', '0', '--ops-port', '0', '--ready-file', ready], {
      env: { PATH: process.env.PATH },
      log: join(c.folder, 'dev.log'),
    });
    try {
      await c.child.says('raymesh ready', 60_000);
      const told = JSON.parse(readFileSync(ready, 'utf8'));
      c.url = told.url;
      c.realtimeUrl = told.realtime_url;
      c.realtimeUrls = [c.realtimeUrl];
      c.apiKey = told.api_key;
      c.opsUrl = told.ops_url;
      c.raystreamPort = Number(told.raystream.split(':').at(-1));
      const dataDir = ['--data-dir', join(c.folder, 'data')];
      c.raymesh('project', 'create', kOtherProject, ...dataDir);
      c.otherApiKey = JSON.parse(c.raymesh('key', 'create', '--project', kOtherProject, '--json', ...dataDir)).key;
      return c;
    } catch (error) {
      await c.stop();
      throw error;
    }
  }

  describe() {
    return { url: this.url, realtime_url: this.realtimeUrl, api_key: this.apiKey, project: this.project, pids: { dev: this.child.pid } };
  }

  async stop() {
    const problems = [];
    try {
      const { code, signal } = await this.child.stop();
      if (code !== 0) problems.push(`raymesh dev ended with code ${code}, signal ${signal}\n${this.child.output.slice(-3000)}`);
    } catch (error) {
      problems.push(error.message);
    }
    if (process.env.RAYMESH_KEEP) console.error(`kept: ${this.folder}`);
    else this.removeFolder();
    return problems;
  }
}
