// Children of a test: started with their output kept, waited for by condition, ended by pid and never left behind.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createServer } from 'node:net';

/** Ports of loopback for servers, below those that Linux gives to whoever asks for any. A block of them is its process's, which listens on the
 *  first for as long as it lives: tests that run at the same time never get each other's ports, nor does a server that starts again. */
const kFirstPort = 20_000;
const kBlock = 64;
const kBlocks = 150;
let block = { next: 0, end: 0 };

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen({ port, host: '127.0.0.1' }, () => resolve(server));
  });
}

async function takeBlock() {
  const start = Math.floor(Math.random() * kBlocks);
  for (let i = 0; i < kBlocks; i++) {
    const first = kFirstPort + ((start + i) % kBlocks) * kBlock;
    const holder = await listen(first).catch(() => null);
    if (!holder) continue;
    holder.unref();
    return { next: first + 1, end: first + kBlock };
  }
  throw new Error(`no block of ports is free from ${kFirstPort} on`);
}

/** `n` ports on which nobody listens; none is given twice. */
export async function freePorts(n) {
  const ports = [];
  while (ports.length < n) {
    if (block.next === block.end) block = await takeBlock();
    const port = block.next++;
    const free = await listen(port).catch(() => null); // a program that knows nothing of blocks may have it
    if (!free) continue;
    await new Promise((resolve) => free.close(resolve));
    ports.push(port);
  }
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
