// `raymesh dev` under test: started on a folder, waited for, asked, stopped or killed.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bin } from '../support/paths.mjs';
import { Child, waitFor } from '../support/processes.mjs';

export const kAnyPorts = ['--port', '0', '--realtime-port', '0', '--raystream-port', '0', '--ops-port', '0'];

/** A fresh folder that goes with the test. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'rm-'));
  chmodSync(folder, 0o711);
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
  return folder;
}

export class Dev {
  /** `options`: program, or one that runs it with what comes `before` its arguments; env; user. */
  constructor(t, args, options = {}) {
    this.child = new Child('raymesh dev', options.program ?? join(bin, 'raymesh'), [...(options.before ?? []), 'dev', ...args], {
      env: { PATH: process.env.PATH, TMPDIR: tmpdir(), ...options.env },
      ...options.user,
    });
    t.after(() => this.child.stop());
  }

  /** Started on the folder and ready. */
  static async start(t, dataDir, ...args) {
    const dev = new Dev(t, ['--data-dir', dataDir, '--json', ...kAnyPorts, ...args]);
    await dev.ready();
    return dev;
  }

  async ready() {
    const begun = Date.now();
    await this.child.says('raymesh ready', 60_000);
    this.startMs = Date.now() - begun;
    this.told = JSON.parse(this.child.output.split('\n').find((line) => line.startsWith('{"version"')));
    return this;
  }

  get pid() {
    return this.child.pid;
  }

  async api(method, path, body) {
    const response = await fetch(this.told.url + path, {
      method,
      headers: { authorization: `Bearer ${this.told.api_key}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    });
    return { status: response.status, json: await response.json() };
  }

  async migrate(sql) {
    const r = await this.api('POST', '/api/v1/db/migrate', { sql });
    assert.equal(r.status, 200, JSON.stringify(r.json));
  }

  async insert(text) {
    const r = await this.api('POST', '/api/v1/db', { operation: 'insert', tableName: 'notes', options: { data: { text } } });
    assert.equal(r.status, 200, JSON.stringify(r.json));
  }

  async notes() {
    const r = await this.api('POST', '/api/v1/db', { operation: 'find', tableName: 'notes', options: { orderBy: { id: 'asc' } } });
    assert.equal(r.status, 200, JSON.stringify(r.json));
    return r.json.data.map((row) => row.text);
  }

  /** The private servers' pids, by name. */
  servers() {
    return Object.fromEntries(readFileSync(join(this.told.data_dir, 'children'), 'utf8').trim().split('\n').filter(Boolean)
      .map((line) => line.split(' ')).map(([name, pid]) => [name, Number(pid)]));
  }

  /** SIGTERM unless told otherwise; checks the exit. */
  async stop(signal = 'SIGTERM') {
    const { code } = await this.child.stop(signal);
    assert.equal(code, 0, this.child.output.slice(-3000));
  }

  async kill() {
    this.child.signal('SIGKILL');
    await this.child.ended();
  }

  /** For one that is expected to refuse: its exit code and what it said. */
  async refusal() {
    const { code } = await this.child.ended(30_000);
    return { code, said: this.child.output };
  }
}

export const alive = (pid) => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

export function allEnded(pids, ms = 20_000) {
  return waitFor(() => Object.values(pids).every((pid) => {
    try {
      return !alive(pid);
    } catch {
      return true;  // it went while we looked
    }
  }), `servers to end: ${JSON.stringify(pids)}`, ms);
}
