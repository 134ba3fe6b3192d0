// Clients of the three ways of docs/protocols/realtime.md that come back by its rules and write down everything for realtime_checker.mjs,
// and publishers that keep a steady load. A Recorder holds what all of them saw, in one clock.
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import WebSocket from 'ws';

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const kComeBack = (code) => [1001, 1005, 1006, 1011, 1012].includes(code) || (code >= 4000 && code < 4500);
const kConnectMs = 5_000;

export class Recorder {
  publishes = [];
  sessions = [];
  presence = [];
  disturbances = [];
  #ids = 0;

  now() {
    return performance.now();
  }

  nextId(publisher) {
    return `${publisher}-${++this.#ids}`;
  }

  session(fields) {
    const s = { opened: null, closing: null, ended: null, end: null, connection: undefined, log: [], started: this.now(), ...fields };
    this.sessions.push(s);
    return s;
  }

  /** Runs `fault` as a disturbance of these nodes (null: all). */
  async disturb(nodes, fault, { lasting = false } = {}) {
    const d = { from: this.now(), to: Infinity, nodes, lasting };
    this.disturbances.push(d);
    try {
      return await fault();
    } finally {
      d.to = this.now();
    }
  }

  /** One presence read, whole, through `api` (a function of method, path, body); not recorded when it fails. */
  async readPresence(api, channel) {
    const asked = this.now();
    const r = await api('GET', `/api/v1/realtime/channels/${encodeURIComponent(channel)}/presence`);
    if (r.status !== 200) return r;
    this.presence.push({ channel, asked, answered: this.now(), members: r.json.presence, count: r.json.count, identities: r.json.identities, complete: r.json.next === '' });
    return r;
  }

  history() {
    for (const d of this.disturbances) if (d.to === Infinity) d.to = this.now();
    return { publishes: this.publishes, sessions: this.sessions, presence: this.presence, disturbances: this.disturbances, ended: this.now() };
  }
}

/** What the three clients share: where to connect, when to come back. `options`: name, urls, node (the first), token(identity), channels. */
class Client {
  constructor(recorder, options) {
    Object.assign(this, { recorder, identity: options.name, pingMs: 0, ...options });
    this.node ??= 0;
    this.failures = 0;
    this.running = true;
    this.session = null;
    this.latest = new Map(); // channel -> id of the last message
  }

  /** Whether the last message of `channel` is this one. */
  at(channel, id) {
    return this.latest.get(channel) === id;
  }

  note(event) {
    if (event.type === 'message') this.latest.set(event.channel, event.payload?.id);
    else if (event.type === 'messages') this.latest.set(event.channel, event.payloads[event.payloads.length - 1]?.id);
  }

  async start() {
    this.tokenNow = await this.token(this.identity);
    this.connect();
    return this;
  }

  get ready() {
    return this.session !== null && this.session.opened !== null && this.session.closing === null && this.session.ended === null;
  }

  begin(fields = {}) {
    this.session = this.recorder.session({ client: this.name, kind: this.kind, identity: this.identity, node: this.node, channels: this.channels, ...fields });
    return this.session;
  }

  /** The connection has ended; comes back when the code says so, on the next node, after what was asked for or a growing random wait. */
  over(session, code, reason, retryAfterMs) {
    if (session.ended !== null) return;
    session.ended = this.recorder.now();
    session.end = { code, reason };
    clearInterval(this.pings);
    if (!this.running) return;
    if (this.bouncing) {
      this.bouncing = false;
      return this.connect();
    }
    if (!kComeBack(code)) {
      this.running = false;
      return;
    }
    const told = /^reconnect_after_ms=(\d+)$/.exec(reason ?? '')?.[1];
    this.failures = session.opened === null || session.ended - session.opened < 500 ? this.failures + 1 : 0;
    const wait = told !== undefined ? Number(told) : retryAfterMs ?? Math.min(1000, 25 * 2 ** this.failures) * (0.5 + Math.random());
    this.node = (this.node + 1) % this.urls.length;
    this.timer = setTimeout(() => this.connect(), wait);
  }

  async refused(session, status, retryAfter) {
    if (status === 401) this.tokenNow = await this.token(this.identity).catch(() => this.tokenNow);
    this.over(session, status === 429 || status === 503 || status === 401 ? 1012 : 1006, `HTTP ${status}`, retryAfter ? Number(retryAfter) * 1000 : undefined);
  }
}

class SocketClient extends Client {
  connect() {
    if (!this.running) return;
    const s = this.begin();
    const socket = (this.socket = new WebSocket(`${this.urls[s.node]}?token=${this.tokenNow}`, this.protocols, { perMessageDeflate: false, handshakeTimeout: kConnectMs, ...this.socketOptions }));
    s.connectionKey = `${this.name}/${s.started}`;
    let heard = this.recorder.now();
    socket.on('open', () => {
      if (this.kind === 'plain') s.opened = this.recorder.now();
      if (this.pingMs > 0)
        this.pings = setInterval(() => {
          if (this.recorder.now() - heard > 2.5 * this.pingMs) socket.terminate();
          else socket.ping();
        }, this.pingMs);
    });
    socket.on('pong', () => (heard = this.recorder.now()));
    socket.on('message', (data) => {
      heard = this.recorder.now();
      const event = JSON.parse(data.toString());
      s.log.push({ at: heard, in: event });
      this.note(event);
      this.saw(s, event);
    });
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      this.refused(s, response.statusCode, response.headers['retry-after']);
    });
    socket.on('error', () => {});
    socket.on('close', (code, reason) => this.over(s, code, reason.toString()));
  }

  send(frame) {
    for (const out of Array.isArray(frame) ? frame : [frame]) this.session.log.push({ at: this.recorder.now(), out });
    this.socket.send(JSON.stringify(frame));
  }

  /** Ends the connection as a client does that will not come back. */
  async close() {
    this.running = false;
    clearTimeout(this.timer);
    clearInterval(this.pings);
    const s = this.session;
    if (!s || s.ended !== null) return;
    s.closing = this.recorder.now();
    this.socket.close(1000);
    const deadline = s.closing + 10_000;
    while (s.ended === null && this.recorder.now() < deadline) await pause(10);
    if (s.ended === null) this.socket.terminate();
  }

  /** Begins a close handshake and connects again as soon as the socket is closed. */
  bounce() {
    this.bouncing = true;
    this.session.closing = this.recorder.now();
    this.socket.close(1000);
  }

  /** Stops and goes on reading. */
  pauseReading() {
    this.session.deaf = this.recorder.now();
    this.socket.pause();
  }

  resumeReading() {
    this.socket.resume();
  }

  /** Drops the TCP connection without a word; comes back by the rules unless `stay`. */
  drop({ stay = false } = {}) {
    if (stay) this.running = false;
    if (this.session && this.session.ended === null) this.session.closing ??= this.recorder.now();
    this.socket?.terminate();
  }
}

/** raymesh.realtime.v1 with positions. `presence`: channels whose joins and leaves are asked for. */
export class V1Client extends SocketClient {
  kind = 'v1';
  protocols = 'raymesh.realtime.v1';
  positions = new Map();
  presence = [];
  #subscribed = new Set();
  #commands = new Map();
  #nextCommand = 1;

  constructor(recorder, options) {
    super(recorder, options);
    Object.assign(this, options);
  }

  get ready() {
    return super.ready && this.#subscribed.size === this.channels.length;
  }

  saw(s, event) {
    switch (event.type) {
      case 'welcome':
        s.opened = this.recorder.now();
        s.connection = event.connection;
        this.#subscribed.clear();
        this.#commands.clear();
        for (let i = 0; i < this.channels.length; i += 50) this.send(this.channels.slice(i, i + 50).map((c) => this.#subscribe(c)));
        break;
      case 'unsubscribed':
        this.#subscribed.delete(event.channel);
        if (this.running) this.send(this.#subscribe(event.channel));
        break;
      case 'subscribed':
        this.#subscribed.add(event.channel);
        this.positions.set(event.channel, { epoch: event.epoch, offset: event.offset });
        break;
      case 'message':
        this.positions.get(event.channel).offset = event.offset;
        break;
      case 'messages':
        this.positions.get(event.channel).offset = event.offset + event.payloads.length - 1;
        break;
      case 'gap':
        if (event.reason !== 'presence') this.positions.set(event.channel, { epoch: event.epoch, offset: event.offset });
        break;
      case 'error': {
        const channel = this.#commands.get(event.id);
        if (channel) setTimeout(() => this.session === s && s.ended === null && this.send(this.#subscribe(channel)), 300);
        break;
      }
      default:
    }
  }

  /** Unsubscribes, and subscribes again from its position when that is answered. */
  resubscribe(channel) {
    this.send({ type: 'unsubscribe', id: this.#nextCommand++, channel });
  }

  #subscribe(channel) {
    const id = this.#nextCommand++;
    this.#commands.set(id, channel);
    const position = this.positions.get(channel);
    return { type: 'subscribe', id, channel, ...(position ? { position: { ...position } } : {}), ...(this.presence.includes(channel) ? { presence: true } : {}) };
  }
}

/** DontCode's frames: member of every channel of its token. */
export class PlainClient extends SocketClient {
  kind = 'plain';
  protocols = [];
  saw() {}
}

/** Server-sent events; comes back with the last id, as EventSource does. */
export class SseClient extends Client {
  kind = 'sse';
  positions = new Map();

  connect() {
    if (!this.running) return;
    const s = this.begin({ resume: this.idPositions, presenceEvents: false });
    this.subscribed = 0;
    const query = this.channels.map((c) => `&channel=${encodeURIComponent(c)}`).join('');
    const request = (this.request = http.get(`${this.urls[s.node].replace(/^ws/, 'http')}/sse?token=${this.tokenNow}${query}`, {
      agent: false,
      headers: this.lastId ? { 'last-event-id': this.lastId } : {},
    }));
    const opening = setTimeout(() => request.destroy(), kConnectMs);
    request.on('response', (response) => {
      clearTimeout(opening);
      if (response.statusCode !== 200) {
        response.resume();
        return this.refused(s, response.statusCode, response.headers['retry-after']);
      }
      s.opened = this.recorder.now();
      let text = '';
      let closed;
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) closed = this.#block(s, text.slice(0, end)) ?? closed;
      });
      response.on('error', () => {});
      response.on('close', () => this.over(s, closed?.code ?? 1006, closed?.reason ?? ''));
    });
    request.on('error', () => {});
    request.on('close', () => {
      clearTimeout(opening);
      if (s.opened === null) this.over(s, 1006, '');
    });
  }

  get ready() {
    return super.ready && this.subscribed === this.channels.length;
  }

  #block(s, block) {
    let closed;
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) {
        this.lastId = line.slice(4);
        this.idPositions = Object.fromEntries([...this.positions].map(([c, p]) => [c, { ...p }]));
      } else if (line.startsWith('data: ')) {
        const event = JSON.parse(line.slice(6));
        s.log.push({ at: this.recorder.now(), in: event });
        this.note(event);
        if (event.type === 'subscribed') this.subscribed++;
        if (event.type === 'subscribed' || (event.type === 'gap' && event.reason !== 'presence')) this.positions.set(event.channel, { epoch: event.epoch, offset: event.offset });
        else if (event.type === 'message') this.positions.get(event.channel).offset = event.offset;
        else if (event.type === 'messages') this.positions.get(event.channel).offset = event.offset + event.payloads.length - 1;
        else if (event.type === 'closed') closed = event;
      }
    }
    return closed;
  }

  async close() {
    this.running = false;
    clearTimeout(this.timer);
    if (this.session && this.session.ended === null) {
      this.session.closing = this.recorder.now();
      this.request.destroy();
    }
  }
}

/** Errors after which a message may be there or not; any other says that it is not. */
const kUnknown = ['outcome_unknown', 'deadline_exceeded', 'internal', undefined];

/** Publishes over a v1 connection of its own, up to `outstanding` at once, to `channels` in turn, every `everyMs`. */
export class SocketPublisher extends SocketClient {
  kind = 'v1';
  protocols = 'raymesh.realtime.v1';
  #waiting = new Map();
  #commands = 0;
  #turn = 0;
  outstanding = 32;
  everyMs = 10;
  pad = '';

  constructor(recorder, options) {
    super(recorder, options);
    Object.assign(this, options);
    this.targets = this.channels;
    this.channels = [];
  }

  async start() {
    await super.start();
    this.ticks = setInterval(() => this.publish(), this.everyMs);
    return this;
  }

  saw(s, event) {
    if (event.type === 'welcome') {
      s.opened = this.recorder.now();
      s.connection = event.connection;
      this.failures = 0;
      return;
    }
    const p = this.#waiting.get(event.id);
    if (!p) return;
    this.#waiting.delete(event.id);
    p.answered = this.recorder.now();
    if (event.type === 'published') Object.assign(p, { outcome: 'ok', epoch: event.epoch, offset: event.offset, delivered: event.delivered });
    else Object.assign(p, { outcome: kUnknown.includes(event.code) ? 'unknown' : 'refused', code: event.code });
  }

  publish(channel = this.targets[this.#turn++ % this.targets.length], extra = {}) {
    if (!this.ready || !this.running || this.#waiting.size >= this.outstanding) return null;
    const p = { id: this.recorder.nextId(this.name), channel, publisher: this.name, connection: this.session.connectionKey, seq: ++this.#commands, sent: this.recorder.now(), answered: null, outcome: 'unknown' };
    this.recorder.publishes.push(p);
    this.#waiting.set(p.seq, p);
    this.socket.send(JSON.stringify({ type: 'publish', id: p.seq, channel, payload: { id: p.id, pad: this.pad, ...extra } }));
    return p;
  }

  over(session, code, reason, retryAfterMs) {
    this.#waiting.clear(); // their outcome stays unknown
    super.over(session, code, reason, retryAfterMs);
  }

  async stop() {
    clearInterval(this.ticks);
    const deadline = this.recorder.now() + 10_000;
    while (this.#waiting.size > 0 && this.recorder.now() < deadline) await pause(10);
    await this.close();
  }
}

/** Publishes over HTTP, one at a time, every `everyMs` at most. `api(method, path, body)` gives {status, json}, status 0 for no answer. */
export class HttpPublisher {
  constructor(recorder, { name, api, channels, everyMs = 20, pad = '' }) {
    Object.assign(this, { recorder, name, api, channels, everyMs, pad });
    this.running = true;
  }

  start() {
    this.work = this.#work();
    return this;
  }

  async #work() {
    for (let turn = 0; this.running; turn++) {
      await this.publish(this.channels[turn % this.channels.length]);
      await pause(this.everyMs);
    }
  }

  async publish(channel) {
    const p = { id: this.recorder.nextId(this.name), channel, publisher: this.name, sent: this.recorder.now(), answered: null, outcome: 'unknown' };
    this.recorder.publishes.push(p);
    const r = await this.api('POST', '/api/v1/realtime/publish', { channel, payload: { id: p.id, pad: this.pad } });
    if (r.status === 0) return p;
    p.answered = this.recorder.now();
    if (r.status === 200) Object.assign(p, { outcome: 'ok', delivered: r.json.delivered });
    else Object.assign(p, { outcome: kUnknown.includes(r.json?.code) ? 'unknown' : 'refused', code: r.json?.code, status: r.status });
    return p;
  }

  async stop() {
    this.running = false;
    await this.work;
  }
}
