// A private PostgreSQL and Redis for a test, in its own folder, on unix sockets, with what production has: fsync,
// passwords, no trust. initdb refuses root, so root drops to the user postgres.
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { Child, run, waitFor } from './processes.mjs';

export const PG_BIN = '/usr/lib/postgresql/15/bin';

function owner() {
  if (process.getuid() !== 0) return {};
  return { uid: Number(run('id', ['-u', 'postgres'])), gid: Number(run('id', ['-g', 'postgres'])) };
}

export class Postgres {
  constructor(folder) {
    this.owner = owner();
    this.folder = folder;
    this.data = `${folder}/data`;
    this.user = 'admin';
    this.password = randomBytes(16).toString('hex');
    this.database = 'raymesh';
    this.port = 5432;
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/password`, this.password, { mode: 0o600 });
    chmodSync(folder, 0o755);
    if (this.owner.uid !== undefined) {
      chownSync(folder, this.owner.uid, this.owner.gid);
      chownSync(`${folder}/password`, this.owner.uid, this.owner.gid);
    }
    run(`${PG_BIN}/initdb`, ['-D', this.data, '-U', this.user, '-A', 'scram-sha-256', `--pwfile=${folder}/password`, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions'], { ...this.owner, cwd: '/' });
    this.start();
  }

  start() {
    this.child = new Child('postgres', `${PG_BIN}/postgres`, ['-D', this.data, '-k', this.folder, '-c', 'listen_addresses=', '-c', 'max_connections=200', '-c', 'shared_buffers=128MB'], { ...this.owner, cwd: '/', log: `${this.folder}/postgres.log` });
  }

  /** A libpq URL; the socket's folder is the host. */
  url(user = this.user, password = this.password, database = this.database) {
    return `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@/${database}?host=${encodeURIComponent(this.folder)}&port=${this.port}`;
  }

  async ready() {
    await waitFor(() => {
      if (this.child.exited) throw new Error(this.child.output.slice(-2000));
      run(`${PG_BIN}/pg_isready`, ['-h', this.folder, '-q']);
      return true;
    }, 'PostgreSQL to accept connections');
  }

  sql(text, database = this.database) {
    return run('psql', ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', this.url(this.user, this.password, database), '-c', text]).trim();
  }

  async restart() {
    await this.child.stop('SIGINT');
    this.start();
    await this.ready();
  }

  stop() {
    return this.child.stop('SIGINT');
  }
}

export class Redis {
  /** `evict`: the store may throw keys away when it is full, as the cache store does. `args`: more of redis-server's; later ones win.
   *  `prefix`: a command that runs it. `env` may be changed between a stop and a start. */
  constructor(folder, { evict = false, args = [], prefix = [], env } = {}) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
    this.socket = `${folder}/redis.sock`;
    this.url = `unix:${this.socket}`;
    this.evict = evict;
    this.args = args;
    this.prefix = prefix;
    this.env = env;
    this.start();
  }

  start() {
    const [program, ...before] = [...this.prefix, 'redis-server'];
    this.child = new Child('redis', program, [...before, '--port', '0', '--unixsocket', this.socket, '--unixsocketperm', '700', '--save', '', '--appendonly', 'no', '--dir', this.folder, ...(this.evict ? ['--maxmemory', '256mb', '--maxmemory-policy', 'allkeys-lru'] : []), ...this.args], { log: `${this.folder}/redis.log`, env: { ...process.env, ...this.env } });
  }

  /** What redis-cli prints. */
  command(password, ...command) {
    return run('redis-cli', ['-s', this.socket, '--no-auth-warning', ...command], { env: { ...process.env, REDISCLI_AUTH: password } }).trim();
  }

  ready() {
    return waitFor(() => run('redis-cli', ['-s', this.socket, 'ping']).trim() === 'PONG', 'Redis to answer');
  }

  stop() {
    return this.child.stop();
  }
}
