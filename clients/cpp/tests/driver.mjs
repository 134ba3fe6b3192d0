// The C++ client with the surface of the JavaScript one, over client_cpp_driver.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bin } from '../../../tests/support/paths.mjs';

const kTypes = ['unknown', 'insert', 'update', 'delete', 'message', 'join', 'leave', 'reset', 'end'];

export class ClientError extends Error {
  constructor({ message, ...rest }) {
    super(message);
    Object.assign(this, rest);
  }
}

class Subscription {
  constructor(driver, name, options) {
    this.driver = driver;
    this.made = driver.send('subscribe', { name, kind: options.kind, presence: options.presence ? 'yes' : undefined, from: options.from && Buffer.from(options.from).toString('base64') });
    this.id = String(driver.lastId);
    this.ready = this.made.then(() => driver.send('ready', { subscription: this.id }));
    this.ready.catch(() => {});
  }

  async next() {
    await this.made;
    const { event } = await this.driver.send('next', { subscription: this.id });
    if (!event) return { value: undefined, done: true };
    const position = Buffer.from(event.position, 'base64');
    return { value: { ...event, type: kTypes[event.type], position, data: event.data === '' ? undefined : JSON.parse(event.data) }, done: false };
  }

  async close() {
    await this.made;
    await this.driver.send('leave', { subscription: this.id });
  }
}

export class Session {
  constructor({ url, apiKey, accessToken, serverKeys = [], ...rest }) {
    this.lastId = 0;
    this.waiting = new Map();
    this.progress = new Map();
    this.states = [];
    this.state = 'idle';
    const program = join(bin, 'client_cpp_driver');
    const [command, ...args] = [...(process.env.CLIENT_CPP_WRAPPER?.split(' ') ?? []), program];
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => this.process.once('exit', (code, signal) => resolve({ code, signal })));
    this.exited.then(() => {
      for (const { reject } of this.waiting.values()) reject(new Error('the driver has ended'));
    });
    createInterface({ input: this.process.stdout }).on('line', (line) => this.take(JSON.parse(line)));
    const keys = serverKeys.map(({ id, publicKey }) => ({ id, publicKey: typeof publicKey === 'string' ? publicKey : Buffer.from(publicKey).toString('base64url') }));
    this.made = this.send('new', { url, apiKey, accessToken, keys, ...rest });
    this.made.catch(() => {});
  }

  take(told) {
    if (told.state) {
      this.state = told.state;
      this.states.push([told.state, told.message]);
      return;
    }
    if (told.progress) {
      this.progress.get(told.progress)?.(told);
      return;
    }
    const { resolve, reject } = this.waiting.get(told.id);
    this.waiting.delete(told.id);
    if (told.error) reject(new ClientError(told.error));
    else resolve(told);
  }

  send(op, members = {}) {
    const id = String(++this.lastId);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.stdin.write(`${JSON.stringify({ id, op, ...members })}\n`);
    });
  }

  async connect() {
    await this.made;
    await this.send('connect');
  }

  async call(method, args = {}, { signal, onUpload, onDownload, ...options } = {}) {
    await this.made;
    const raw = args instanceof Uint8Array;
    const progress = onUpload || onDownload ? true : undefined;
    const answer = this.send('call', { method, ...(raw ? { bytes: Buffer.from(args).toString('base64') } : { json: JSON.stringify(args) }), ...options, progress });
    const id = String(this.lastId);
    if (progress) this.progress.set(id, ({ sent, received }) => (sent !== undefined ? onUpload?.(sent) : onDownload?.(received)));
    const cancel = () => this.process.stdin.write(`${JSON.stringify({ op: 'cancel', target: id })}\n`);
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    const { bytes, json } = await answer;
    if (raw) return Buffer.from(bytes, 'base64');
    return json === '' ? undefined : JSON.parse(json);
  }

  subscribe(name, options = {}) {
    return new Subscription(this, name, options);
  }

  async status() {
    await this.made;
    return this.send('status');
  }

  /** The client's clean end, then the process's. */
  async close() {
    await this.made;
    await this.send('close');
  }

  async quit() {
    this.process.stdin.end();
    assert.deepEqual(await this.exited, { code: 0, signal: null });
  }
}
