// The session as an application has it: it connects when it is needed, resumes or begins anew when a connection drops, repeats what may
// be repeated, and ends with close().
import { fromBase64, text, utf8 } from './bytes.js';
import { Connection, type Ended, type Progress } from './connection.js';
import { isRaymeshError, networkError, outcomeUnknown, RaymeshError, sessionClosed, timedOut, unreachable } from './errors.js';
import type { Resumption, ServerKey } from './handshake.js';
import type { EventMessage, ResumeSubscription } from './messages.js';
import type { CipherName, Platform } from './platform.js';
import { backoff, delay, within } from './retry.js';
import { fetchServerKeys } from './server_keys.js';
import { kChannel, kEnd, kTable, Subscription, Topic, type SubscriptionKind } from './subscription.js';
import { connectTo, type WebSocketConstructor } from './transport.js';

export interface SessionOptions {
  /** "https://host" or "wss://host/raystream"; in Node also "tcp://host:4100". */
  url: string;
  /** The project's API key. */
  apiKey: string;
  /** The user's access token. */
  accessToken?: string;
  /**
   * The servers' signing keys that are trusted: `publicKey` is 32 bytes, or their base64url. Without it they are read from the gateway's
   * /api/v1/raystream/key, which is done over HTTPS or on loopback only.
   */
  serverKeys?: readonly { id: string; publicKey: Uint8Array | string }[];
  /** Of a call, all its tries together, in milliseconds; 0: none. Default 10,000. */
  timeoutMs?: number;
  /** What to offer; default: what this platform does best. */
  ciphers?: readonly CipherName[];
  /** Where there is no global WebSocket (Node before 22): the class of the package `ws`. */
  webSocket?: WebSocketConstructor;
  /** Unread events of a subscription before it ends. Default 10,000. */
  maxQueuedEvents?: number;
  onStateChange?: (state: SessionState, error?: RaymeshError) => void;
  /** @internal Of tests. */
  heartbeatMs?: number;
}

export type SessionState = 'idle' | 'connecting' | 'connected' | 'closed';

export interface SubscribeOptions {
  /** Default: a channel. */
  kind?: SubscriptionKind;
  /** The position of an event: what came after it. Without it: from now on. */
  from?: Uint8Array;
  /** Of a channel: `join` and `leave`, too. */
  presence?: boolean;
}

export interface CallOptions extends Progress {
  signal?: AbortSignal;
  /** Milliseconds, all tries together; 0: none. */
  timeout?: number;
  /** With one a call that writes may be repeated; the server keeps it with the write. */
  idempotencyKey?: string;
  /** The call changes nothing, or the same however often it is sent. Known of the methods of raymesh that read. */
  idempotent?: boolean;
  /** What the HTTP API has in its path and query, for methods that take it (docs/http-api.md). */
  path?: string;
  query?: string;
  metadata?: Record<string, string>;
}

const kTries = 3;
const kConnectTimeoutMs = 15_000;
// A connection that has lived so long was a good one.
const kSettledMs = 10_000;

// Methods that may be sent twice.
const kSafe: ReadonlySet<string> = new Set([
  ...['info', 'auth.me', 'db.find', 'db.findMany', 'db.findFirst', 'db.findOne', 'db.count', 'cache.get', 'cache.hgetall', 'cache.smembers'],
  ...['realtime.token', 'realtime.presence', 'realtime.history', 'realtime.revoke', 'raystream.echo'],
]);

export class Session {
  private connection: Connection | undefined;
  private connecting: Promise<Connection> | undefined;
  private keys: readonly ServerKey[] | undefined;
  private resumption: Resumption | undefined;
  private topics = new Map<string, Topic>();
  private ending = new AbortController();
  private failures = 0;  // connections in a row that came to nothing, or lived shortly
  private since = 0;
  private lastError: RaymeshError | undefined;
  private state_: SessionState = 'idle';

  constructor(
    private readonly options: SessionOptions,
    private readonly platform: Platform,
  ) {
    this.keys = options.serverKeys?.map(({ id, publicKey }) => {
      const bytes = typeof publicKey === 'string' ? fromBase64(publicKey) : publicKey;
      if (bytes.length !== 32) throw new TypeError(`the server key "${id}" has ${bytes.length} bytes instead of 32`);
      return { id, publicKey: bytes };
    });
  }

  get state(): SessionState {
    return this.state_;
  }
  /** Stays the same over connections, as long as the session can be resumed. */
  get sessionId(): string | undefined {
    return this.resumption?.sessionId;
  }
  /** Of the connection that is up. */
  get cipher(): CipherName | undefined {
    return this.connection?.cipher;
  }

  private change(state: SessionState, error?: RaymeshError): void {
    if (this.state_ === state || this.state_ === 'closed') return;
    this.state_ = state;
    this.options.onStateChange?.(state, error);
  }

  // ---- Connecting ----

  /** Connects, if it is not connected; calls and subscriptions do so themselves. Throws what a repetition would not change. */
  async connect(): Promise<void> {
    await this.connected();
  }

  private connected(): Promise<Connection> {
    if (this.ending.signal.aborted) return Promise.reject(sessionClosed());
    if (this.connection) return Promise.resolve(this.connection);
    if (!this.connecting) {
      const attempt = this.connectUntilDone();
      this.connecting = attempt;
      const over = (): void => {
        if (this.connecting === attempt) this.connecting = undefined;
      };
      attempt.then(over, (error: RaymeshError) => {
        over();
        for (const topic of this.topics.values()) this.failTopic(topic, error);
        this.change('idle', error);
      });
    }
    return this.connecting;
  }

  // Tries until it works, or an error says that it never will, or nobody waits for it any more.
  private async connectUntilDone(): Promise<Connection> {
    this.change('connecting');
    let learnt = false;
    for (;;) {
      if (this.failures > 0) await delay(backoff(this.failures - 1), this.ending.signal);
      try {
        const connection = await this.connectOnce();
        if (connection.isOver) throw networkError('the connection ended at once');
        this.connection = connection;
        this.since = Date.now();
        this.lastError = undefined;
        this.change('connected');
        return connection;
      } catch (error) {
        if (this.ending.signal.aborted) throw sessionClosed();
        if (!isRaymeshError(error)) throw error;
        this.lastError = error;
        this.failures += 1;
        // Keys that were read from the gateway may have been changed there since.
        if (error.code === 'server_not_trusted' && !this.options.serverKeys && !learnt) {
          learnt = true;
          this.keys = undefined;
          continue;
        }
        if (!error.retryable) {
          this.failures = 0;
          throw error;
        }
        if (error.retryAfterMs > 0) await delay(error.retryAfterMs, this.ending.signal);
      }
    }
  }

  private async connectOnce(): Promise<Connection> {
    this.keys ??= await fetchServerKeys(this.options.url, this.options.apiKey, kConnectTimeoutMs);
    const { resumption } = this;
    const connection: Connection = new Connection(connectTo(this.options.url, this.platform, this.options.webSocket), {
      platform: this.platform,
      keys: this.keys,
      ciphers: this.options.ciphers ?? this.platform.ciphers,
      resumption,
      heartbeatMs: this.options.heartbeatMs ?? 60_000,
      onEvent: (event) => this.onEvent(event),
      onEnd: (end) => this.onEnd(connection, end),
    });
    const timer = setTimeout(() => connection.drop(networkError(`the gateway did not answer within ${kConnectTimeoutMs} ms`)), kConnectTimeoutMs);
    const stop = (): void => connection.drop(sessionClosed());
    this.ending.signal.addEventListener('abort', stop);
    try {
      await connection.ready;
      if (connection.isResumed) {
        await this.resumeTopics(connection);
      } else {
        this.forget();
        await connection.attach(this.options.apiKey, this.options.accessToken ?? '');
        this.resumption = connection.resumption();
        for (const topic of this.topics.values()) this.subscribeTopic(connection, topic);
      }
      return connection;
    } catch (error) {
      connection.drop(isRaymeshError(error) ? error : networkError('connecting failed', error));
      throw error;
    } finally {
      clearTimeout(timer);
      this.ending.signal.removeEventListener('abort', stop);
    }
  }

  private forget(): void {
    this.resumption?.secret.fill(0);
    this.resumption = undefined;
  }

  private onEnd(connection: Connection, { error, resumable }: Ended): void {
    if (!resumable) this.forget();
    if (this.connection !== connection) return;
    this.connection = undefined;
    for (const topic of this.topics.values()) topic.live = false;
    if (this.ending.signal.aborted) return;
    this.lastError = error;
    // Never at once: when a gateway ends, all its clients come again.
    this.failures = Date.now() - this.since >= kSettledMs ? 1 : this.failures + 1;
    this.change('connecting', error);
    this.connected().catch(() => {});
  }

  // ---- Calls ----

  /**
   * Calls a method. `args` and the result are JSON; bytes (Uint8Array) are Protobuf, and so is the result then. Throws RaymeshError, or
   * the signal's reason.
   */
  async call<T = unknown>(method: string, args: unknown = {}, options: CallOptions = {}): Promise<T> {
    const raw = args instanceof Uint8Array;
    const result = await this.callBytes(method, raw ? args : utf8(JSON.stringify(args) ?? 'null'), options, !raw);
    if (raw) return result as T;
    return (result.length === 0 ? undefined : JSON.parse(text(result))) as T;
  }

  private async callBytes(method: string, args: Uint8Array, options: CallOptions, json: boolean): Promise<Uint8Array> {
    const timeout = options.timeout ?? this.options.timeoutMs ?? 10_000;
    const deadline = timeout > 0 ? Date.now() + timeout : Infinity;
    const error = (): RaymeshError => (this.connection || !this.lastError ? timedOut(`"${method}"`, timeout) : unreachable(timeout, this.lastError));
    const limits = { deadline, signal: options.signal, error };
    const repeatable = options.idempotent ?? (options.idempotencyKey !== undefined || kSafe.has(method));
    const metadata: Record<string, string> = { ...options.metadata };
    if (json) metadata['content-type'] = 'application/json';
    if (options.idempotencyKey !== undefined) metadata['idempotency-key'] = options.idempotencyKey;
    if (options.path !== undefined) metadata['path'] = options.path;
    if (options.query) metadata['query'] = options.query;

    for (let attempt = 0; ; ) {
      const connection = await within(this.connected(), limits);
      if (connection.isOver) continue;
      attempt += 1;
      if (deadline !== Infinity) metadata['timeout-ms'] = String(Math.max(1, deadline - Date.now()));
      const { callId, answer } = connection.call(method, args, metadata, options);
      try {
        return (await within(answer, limits)).result;
      } catch (error) {
        connection.giveUp(callId);
        if (!isRaymeshError(error) || error.code === 'Timeout' || Date.now() >= deadline) throw error;
        // Without an answer of its own: the connection went while the call was on its way.
        const lost = connection.isOver;
        if (lost && !repeatable) throw this.ending.signal.aborted ? sessionClosed() : outcomeUnknown(method);
        const tries = error.errorCode === 'TIMEOUT' ? 2 : kTries;
        if (!repeatable || !error.retryable || attempt >= tries) throw error;
        if (error.errorCode === 'SESSION_EXPIRED') {
          this.forget();
          connection.drop(error);
        }
        const pause = error.retryAfterMs || (connection.isOver ? 0 : backoff(attempt - 1));
        if (Date.now() + pause > deadline) throw error;
        await within(delay(pause, options.signal), limits);
      }
    }
  }

  // ---- Subscriptions ----

  private onEvent(event: EventMessage): void {
    const topic = this.topics.get(topicKey(event.kind, event.name));
    topic?.take(event);
    if (topic && event.type === kEnd)
      this.failTopic(topic, new RaymeshError(`the subscription to "${topic.name}" was revoked`, { status: 403, code: 'permission_denied', errorCode: 'PERMISSION_DENIED' }));
  }

  /**
   * Events of a channel or table, from now on or after a position; with `presence` who comes and goes in a channel, too. They go on over every connection
   * of this session.
   */
  subscribe(name: string, options: SubscribeOptions = {}): Subscription {
    const kind = options.kind === 'table' ? kTable : kChannel;
    const key = topicKey(kind, name);
    let topic = this.topics.get(key);
    if (topic && (options.from || (options.presence && !topic.presence))) throw new TypeError(`"${name}" is subscribed to already: \`from\` and \`presence\` are for the first reader`);
    const isNew = !topic;
    if (!topic) {
      topic = new Topic(kind, name);
      if (options.from) topic.position = options.from;
      topic.presence = options.presence ?? false;
      this.topics.set(key, topic);
    }
    const mine = topic;
    const ready = this.connected().then(async (connection) => {
      // A connection that was made after this one was asked for has it already.
      if (isNew && !mine.live && this.topics.get(key) === mine) this.subscribeTopic(connection, mine);
      await this.subscribing.get(mine);
    });
    const subscription = new Subscription(name, this.options.maxQueuedEvents ?? 10_000, (s) => this.unsubscribe(mine, s), ready);
    mine.readers.add(subscription);
    ready.catch((error: RaymeshError) => this.failTopic(mine, error));
    return subscription;
  }

  private readonly subscribing = new WeakMap<Topic, Promise<void>>();

  private subscribeTopic(connection: Connection, topic: Topic): void {
    topic.live = true;
    topic.known = false;
    const answered = this.askForTopic(connection, topic).then(
      (position) => {
        topic.known = true;
        // Events behind it may have come already.
        if (topic.position.length === 0) topic.position = position;
      },
      (error: RaymeshError) => {
        // A connection that went asks again with the next one.
        if (connection.isOver && !this.ending.signal.aborted) return this.connected().then(() => this.subscribing.get(topic));
        this.failTopic(topic, error);
        throw error;
      },
    );
    answered.catch(() => {});
    this.subscribing.set(topic, answered);
  }

  /** Asks again while a part behind the gateway is away: for good if it was there before, else as often as a call. */
  private async askForTopic(connection: Connection, topic: Topic): Promise<Uint8Array> {
    const before = topic.position.length > 0;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await connection.subscribe(topic.kind, topic.name, true, topic.position, topic.presence);
      } catch (error) {
        if (!isRaymeshError(error) || !error.retryable || connection.isOver) throw error;
        if (this.topics.get(topicKey(topic.kind, topic.name)) !== topic || (!before && attempt + 1 >= kTries)) throw error;
        await delay(error.retryAfterMs + backoff(attempt), this.ending.signal);
      }
    }
  }

  private async resumeTopics(connection: Connection): Promise<void> {
    const topics = [...this.topics.values()];
    const asked: ResumeSubscription[] = topics
      .filter(({ known, position }) => known && position.length > 0)
      .map(({ kind, name, position, presence }) => ({ kind, name, position, presence, batches: true }));
    const { left, ended } = await connection.resume(asked);
    // Only now: as long as the answer has not come, the old secret is the one that is valid in any case.
    this.forget();
    this.resumption = connection.resumption();
    const going = new Set(asked.map(({ kind, name }) => topicKey(kind, name)));
    for (const { kind, name } of [...left, ...ended]) going.delete(topicKey(kind, name));
    for (const topic of this.topics.values()) {
      if (going.has(topicKey(topic.kind, topic.name))) {
        topic.live = true;
        this.subscribing.set(topic, Promise.resolve());
      } else {
        this.subscribeTopic(connection, topic);
      }
    }
  }

  private async unsubscribe(topic: Topic, subscription: Subscription): Promise<void> {
    topic.readers.delete(subscription);
    if (topic.readers.size > 0 || !this.topics.delete(topicKey(topic.kind, topic.name))) return;
    // Without a connection there is nothing to say: the next one names what goes on.
    if (topic.live && this.connection) await this.connection.subscribe(topic.kind, topic.name, false, new Uint8Array(), false).catch(() => {});
  }

  private failTopic(topic: Topic, error: RaymeshError): void {
    const key = topicKey(topic.kind, topic.name);
    if (this.topics.get(key) === topic) this.topics.delete(key);
    for (const reader of topic.readers) reader.fail(error);
    topic.readers.clear();
  }

  // ---- The end ----

  /** Ends the session for good, here and on the server. Calls under way fail, subscriptions end. */
  async close(): Promise<void> {
    if (this.ending.signal.aborted) return;
    this.ending.abort();
    const { connection } = this;
    const readers = [...this.topics.values()].flatMap(({ readers: all }) => [...all]);
    this.topics.clear();
    for (const reader of readers) await reader.close();
    await connection?.close();
    this.connection = undefined;
    this.forget();
    this.change('closed');
  }
}

const topicKey = (kind: number, name: string): string => `${kind} ${name}`;
