// Children of a test: started with their output kept, waited for by condition, ended by pid and never left behind.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createServer } from 'node:net';

/** Two free ports of loopback stay two: all are held open until all are known. */
export async function freePorts(n) {
  const servers = await Promise.all(
    Array.from({ length: n }, () => new Promise((resolve, reject) => {
      const server = createServer().once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    })));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}

export async function waitFor(condition, what, ms = 20_000) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}${last ? ` (${last.message})` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const kKept = 4_000_000;

export class Child {
  #log;
  #from;
  #said = '';

  /** `options`: cwd, env, uid, gid, log (a file for both outputs). */
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.exited = null;
    this.#log = options.log;
    // With a file the child writes there itself, so that a benchmark's logs cost us nothing.
    const out = this.#log ? openSync(this.#log, 'a') : 'pipe';
    this.#from = this.#log ? fstatSync(out).size : 0;
    this.process = spawn(command, args, { ...options, stdio: ['ignore', out, out] });
    if (this.#log) closeSync(out);
    else
      for (const stream of [this.process.stdout, this.process.stderr])
        stream.on('data', (data) => {
          if (this.#said.length < kKept) this.#said += data;
        });
    this.process.on('exit', (code, signal) => (this.exited = { code, signal }));
    this.process.on('error', (error) => (this.exited = { code: -1, error }));
  }

  get pid() {
    return this.process.pid;
  }

  /** What it has said, the first megabytes of it. */
  get output() {
    if (!this.#log) return this.#said;
    const file = openSync(this.#log, 'r');
    try {
      const bytes = Buffer.alloc(Math.min(kKept, Math.max(0, fstatSync(file).size - this.#from)));
      return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, this.#from));
    } finally {
      closeSync(file);
    }
  }

  /** Waits until the output holds `text`; fails at once when the process has ended. */
  says(text, ms) {
    return waitFor(() => {
      if (this.output.includes(text)) return true;
      if (this.exited) throw Object.assign(new Error(`${this.name} ended: ${this.output.slice(-3000)}`), { final: true });
      return false;
    }, `${this.name} to say '${text}'; it said: ${this.output.slice(-2000)}`, ms);
  }

  ended(ms) {
    return waitFor(() => this.exited, `${this.name} to end`, ms);
  }

  signal(name) {
    if (!this.exited) process.kill(this.pid, name);
  }

  async stop(signal = 'SIGTERM', ms = 30_000) {
    if (this.exited) return this.exited;
    this.signal(signal);
    try {
      return await this.ended(ms);
    } catch (error) {
      this.signal('SIGKILL');
      await this.ended(5000);
      throw error;
    }
  }
}

/** Runs to the end; throws with the output when the exit code is not 0. */
export function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${done.status}\n${done.stdout}${done.stderr}${done.error ?? ''}`);
  return done.stdout;
}
