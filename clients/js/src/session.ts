// The session as an application has it: it connects when it is needed, resumes or begins anew when a connection drops, repeats what may
// be repeated, and ends with close().
import { fromBase64, text, utf8 } from './bytes.js';
import { Connection, type Ended, type Progress } from './connection.js';
import { isRaymeshError, networkError, outcomeUnknown, sessionClosed, timedOut, unreachable, type RaymeshError } from './errors.js';
import type { Resumption, ServerKey } from './handshake.js';
import type { CipherName, Platform } from './platform.js';
import { backoff, delay, kTries, within } from './retry.js';
import { fetchServerKeys } from './server_keys.js';
import type { SubscribeOptions, Subscription } from './subscription.js';
import { Topics } from './topics.js';
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

const kConnectTimeoutMs = 15_000;
// A connection that has lived so long was a good one.
const kSettledMs = 10_000;

const kInspect: unique symbol = Symbol.for('nodejs.util.inspect.custom');

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
  private ending = new AbortController();
  private closing: Promise<void> | undefined;
  private readonly topics: Topics;
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
    this.topics = new Topics(options.maxQueuedEvents ?? 10_000, this.ending.signal, () => this.connected());
  }

  get state(): SessionState {
    return this.state_;
  }
  /** Stays the same over connections, as long as the session can be resumed. */
  get sessionId(): string | undefined {
    return this.resumption?.sessionId;
  }
  /** What logs may have: neither the API key, nor the token, nor what resumes the session. */
  toJSON(): { url: string; state: SessionState; sessionId: string | undefined } {
    return { url: this.options.url, state: this.state_, sessionId: this.sessionId };
  }
  /** @internal The same for console.log. */
  [kInspect](): object {
    return { raystream: this.toJSON() };
  }
  /** Of the connection that is up. */
  get cipher(): CipherName | undefined {
    return this.connection?.cipher;
  }

  private change(state: SessionState, error?: RaymeshError): void {
    if (this.state_ === state || this.state_ === 'closed') return;
    this.state_ = state;
    try {
      this.options.onStateChange?.(state, error);
    } catch (failure) {
      // As a listener of events: it is reported, and what has told it goes on.
      queueMicrotask(() => {
        throw failure;
      });
    }
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
        this.topics.fail(error);
        this.change('idle', error);
      });
    }
    return this.connecting;
  }

  // Tries until it works, or an error says that it never will, or the session is closed.
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
    this.keys ??= await fetchServerKeys(this.options.url, this.options.apiKey, kConnectTimeoutMs, this.ending.signal);
    const { resumption } = this;
    const connection: Connection = new Connection(connectTo(this.options.url, this.platform, this.options.webSocket), {
      platform: this.platform,
      keys: this.keys,
      ciphers: this.options.ciphers ?? this.platform.ciphers,
      resumption,
      heartbeatMs: this.options.heartbeatMs ?? 60_000,
      onEvent: (event) => this.topics.take(event),
      onEnd: (end) => this.onEnd(connection, end),
    });
    const timer = setTimeout(() => connection.drop(networkError(`the gateway did not answer within ${kConnectTimeoutMs} ms`)), kConnectTimeoutMs);
    const stop = (): void => connection.drop(sessionClosed());
    this.ending.signal.addEventListener('abort', stop);
    try {
      await connection.ready;
      if (connection.isResumed) {
        // The old secret is kept until the answer: as long as that has not come, it is the one that is valid in any case.
        this.keep(connection, await this.topics.resume(connection));
      } else {
        this.forget();
        this.keep(connection, await connection.attach(this.options.apiKey, this.options.accessToken ?? ''));
        this.topics.begin(connection);
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

  private keep(connection: Connection, resumption: Resumption): void {
    this.forget();
    if (connection.ended?.resumable !== false) this.resumption = resumption;
  }

  private forget(): void {
    this.resumption?.secret.fill(0);
    this.resumption = undefined;
  }

  private onEnd(connection: Connection, { error, resumable }: Ended): void {
    if (!resumable) this.forget();
    this.topics.lost(connection);
    if (this.connection !== connection) return;
    this.connection = undefined;
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
        // Without an answer of its own: the connection went while the call was on its way.
        const lost = error === connection.ended?.error;
        if (lost && !repeatable) throw this.ending.signal.aborted ? sessionClosed() : outcomeUnknown(method);
        if (!isRaymeshError(error) || error.code === 'Timeout' || Date.now() >= deadline) throw error;
        const tries = error.errorCode === 'TIMEOUT' ? 2 : kTries;
        if (!repeatable || !error.retryable || attempt >= tries) throw error;
        if (error.errorCode === 'SESSION_EXPIRED' && !connection.isOver) {
          this.forget();
          connection.drop(error);
        }
        const pause = error.retryAfterMs || (connection.isOver ? 0 : backoff(attempt - 1));
        if (Date.now() + pause > deadline) throw error;
        await within(delay(pause, options.signal), limits);
      }
    }
  }

  /**
   * Events of a channel or table, from now on or after a position; with `presence` who comes and goes in a channel, too. They go on over every connection
   * of this session.
   */
  subscribe(name: string, options: SubscribeOptions = {}): Subscription {
    return this.topics.subscribe(name, options);
  }

  // ---- The end ----

  /** Ends the session for good, here and on the server. Calls under way fail, subscriptions end. */
  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }

  private async closeOnce(): Promise<void> {
    this.ending.abort(sessionClosed());
    const { connection } = this;
    await this.topics.close(sessionClosed());
    await connection?.close();
    this.connection = undefined;
    this.forget();
    this.change('closed');
  }
}
