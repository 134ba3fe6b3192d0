// One connection: handshake, then frames both ways by the states of the protocol page, calls and their answers, heartbeats. It ends once,
// and says why; whoever owns it makes the next one.
import { concat, readable, utf8 } from './bytes.js';
import { distrust, errorCode, codeNumber, networkError, RaymeshError, type ErrorCode } from './errors.js';
import { Direction, FrameBuffer, FrameType, kAttachedLimit, kHandshakeLimit, kMaxCallBytes, kUnattachedLimit, payloadOf, Refused, type Expected, type Frame } from './frames.js';
import { Handshake, type HandshakeResult, type Resumption, type ServerKey } from './handshake.js';
import * as m from './messages.js';
import type { CipherName, Platform } from './platform.js';
import type { Transport } from './transport.js';

export interface ConnectionOptions {
  platform: Platform;
  keys: readonly ServerKey[];
  ciphers: readonly CipherName[];
  resumption?: Resumption | undefined;
  /** Of the protocol: 60 s. */
  heartbeatMs: number;
  onEvent(event: m.EventMessage): void;
  onEnd(end: Ended): void;
}

/** Why a connection ended, and whether its session can go on over another one. */
export interface Ended {
  error: RaymeshError;
  resumable: boolean;
}

export interface Answer {
  status: number;
  result: Uint8Array;
}

export interface Progress {
  onUpload?: ((sent: number, total: number) => void) | undefined;
  onDownload?: ((received: number) => void) | undefined;
}

interface Pending {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  status: number;
  parts: Uint8Array[];
  size: number;
  onDownload?: Progress['onDownload'];
}

type State = 'handshake' | 'open' | 'resuming' | 'resume pending' | 'attached' | 'closed';

const kIncoming: Record<State, readonly number[]> = {
  handshake: [FrameType.Response, FrameType.Close],
  open: [FrameType.Answer, FrameType.Error, FrameType.Heartbeat, FrameType.Close],
  resuming: [FrameType.Close],
  'resume pending': [FrameType.Resume, FrameType.Close],
  attached: [FrameType.Answer, FrameType.Error, FrameType.Event, FrameType.Heartbeat, FrameType.Close],
  closed: [],
};

// After these the session is over (the page, "Closing"). After CONFLICT it goes on, but elsewhere: somebody has a copy of its secret, and
// two who take it from each other in turns help nobody.
const kFinal: readonly ErrorCode[] = ['NONE', 'UNAUTHORIZED', 'FORBIDDEN', 'SESSION_EXPIRED', 'CONFLICT'];
// Frames above this would hold up what is sent beside a long transfer.
const kPart = 256 * 1024;
const kHighWater = 1024 * 1024;

export class Connection {
  private state: State = 'handshake';
  private input = new FrameBuffer();
  private limit = kHandshakeLimit;
  private incoming: Direction | undefined;
  private outgoing: Direction | undefined;
  private busy = false;  // a frame is being decrypted elsewhere; what follows waits
  private tail: Promise<void> | undefined;  // frames that are being encrypted elsewhere leave in their order
  private unsealed = 0;
  private drained: (() => void)[] = [];
  private pending = new Map<number, Pending>();
  private lastCall = 0;
  private handshake: Handshake;
  private result: HandshakeResult | undefined;
  private readyResolve!: () => void;
  private readyReject!: (error: RaymeshError) => void;
  private resumed: { resolve(r: { ended: m.ResumeSubscription[]; resumption: Resumption }): void; reject(error: RaymeshError): void } | undefined;
  private heartbeatTimer: ReturnType<typeof setInterval> | undefined;
  private unanswered = 0;
  /** The handshake is done; rejects with why it failed. */
  readonly ready: Promise<void>;
  /** Since the end. Calls without an answer of their own reject with its very error. */
  ended: Ended | undefined;

  constructor(
    private readonly transport: Transport,
    private readonly options: ConnectionOptions,
  ) {
    this.handshake = new Handshake(options.platform, options.keys, options.ciphers, options.resumption);
    this.ready = new Promise((resolve, reject) => {
      this.readyResolve = resolve;
      this.readyReject = reject;
    });
    this.ready.catch(() => {});
    transport.handlers = {
      open: () => transport.send(this.handshake.init),
      data: (bytes) => this.receive(bytes),
      drain: () => this.flowOn(),
      end: (reason) => this.end(networkError(`the connection to the gateway failed: ${reason}`), true),
    };
  }

  get sessionId(): string {
    return this.result!.sessionId;
  }
  get cipher(): CipherName {
    return this.result!.cipher;
  }
  get isResumed(): boolean {
    return this.result!.resumed;
  }
  get isOver(): boolean {
    return this.state === 'closed';
  }
  // A copy, made when the answer that attaches comes: the connection may end with the frame behind that.
  private resumption(): Resumption {
    return { sessionId: this.sessionId, secret: Uint8Array.from(this.result!.secrets.resumption) };
  }

  // ---- Frames that come ----

  private receive(bytes: Uint8Array): void {
    if (this.state === 'closed') return;
    this.input.append(bytes);
    this.pump();
  }

  private expected(): Expected {
    return { types: kIncoming[this.state], limit: this.limit, direction: this.incoming };
  }

  private pump(): void {
    try {
      while (!this.busy && this.state !== 'closed') {
        const frame = this.input.size > 0 ? this.input.take(this.expected()) : null;
        if (!frame) {
          if (this.transport.wholeFrames && this.input.size > 0) throw new Refused('INVALID_REQUEST', 'a WebSocket message is not one frame');
          return;
        }
        const done = this.incoming ? this.openFrame(frame, this.incoming) : this.plain(frame);
        if (done) {
          this.busy = true;
          done.then(
            () => {
              this.busy = false;
              this.pump();
            },
            (error: unknown) => this.failed(error),
          );
        }
      }
    } catch (error) {
      this.failed(error);
    }
  }

  // Undefined: done at once.
  private openFrame(frame: Frame, direction: Direction): Promise<void> | undefined {
    const opened = direction.open(frame.bytes);
    const take = (payload: Uint8Array | null): void => {
      if (!payload) throw new Refused('DECRYPTION_FAILED', 'the tag does not fit');
      if (this.state !== 'closed') this.onFrame(frame.type, payload);
    };
    if (opened instanceof Promise) return opened.then(take);
    take(opened);
    return undefined;
  }

  private plain(frame: Frame): Promise<void> | undefined {
    if (frame.type === FrameType.Close) {
      this.onClose(payloadOf(frame.bytes));
      return undefined;
    }
    return this.handshake.read(frame.bytes).then((result) => this.begin(result));
  }

  private failed(error: unknown): void {
    if (error instanceof RaymeshError) {
      // A handshake that is not to be trusted ends without a word. It says nothing about the session: that stays resumable.
      this.end(error, true);
    } else if (error instanceof Refused) {
      if (this.outgoing) this.sendClose(error.code, error.message);
      const failure = this.outgoing ? networkError(`the gateway broke the protocol: ${error.message}`) : distrust(`what the server answers is no raystream: ${error.message}`);
      this.end(failure, true);
    } else {
      this.sendClose('INTERNAL_ERROR', '');
      this.end(networkError('the client failed', error), true);
    }
  }

  private begin(result: HandshakeResult): void {
    if (this.state !== 'handshake') {
      // It has ended meanwhile.
      for (const secret of Object.values(result.secrets)) secret.fill(0);
      return;
    }
    const { platform } = this.options;
    this.result = result;
    this.incoming = new Direction(platform, result.cipher, result.secrets.s2c);
    this.outgoing = new Direction(platform, result.cipher, result.secrets.c2s);
    this.limit = kUnattachedLimit;
    this.state = result.resumed ? 'resuming' : 'open';
    this.readyResolve();
  }

  private onFrame(type: number, payload: Uint8Array): void {
    switch (type) {
      case FrameType.Close:
        return this.onClose(payload);
      case FrameType.Heartbeat:
        read(m.Heartbeat, payload);
        this.unanswered = 0;
        return;
      case FrameType.Event:
        return this.takeEvents(read(m.Event, payload));
      case FrameType.Resume: {
        const answer = read(m.Resumed, payload);
        this.attachedNow();
        // The gateway drops the old secret with the next frame that it sees.
        this.heartbeat();
        this.resumed?.resolve({ ended: answer.ended, resumption: this.resumption() });
        this.resumed = undefined;
        return;
      }
      case FrameType.Error: {
        const error = read(m.RpcError, payload);
        this.take(error.callId)?.reject(
          new RaymeshError(error.errorMessage || 'the call failed', {
            status: error.status,
            code: error.code,
            errorCode: errorCode(error.errorCode),
            retryAfterMs: error.retryAfterMs,
          }),
        );
        return;
      }
      case FrameType.Answer:
        return this.onAnswer(read(m.RpcResponse, payload));
    }
  }

  private onAnswer(part: { callId: number; status: number; result: Uint8Array; more: boolean }): void {
    const call = this.pending.get(part.callId);
    if (!call) return;  // was given up
    if (call.parts.length === 0) call.status = part.status;
    call.parts.push(part.result);
    call.size += part.result.length;
    if (call.size > kMaxCallBytes) throw new Refused('INVALID_REQUEST', 'a result of more than 16 MiB');
    try {
      call.onDownload?.(call.size);
    } catch (error) {
      // The application's own; it is told by its call.
      this.take(part.callId)?.reject(error);
      return;
    }
    if (part.more) return;
    this.pending.delete(part.callId);
    call.resolve({ status: call.status, result: call.parts.length === 1 ? call.parts[0]! : concat(...call.parts) });
  }

  private onClose(payload: Uint8Array): void {
    const { code, reason } = read(m.Close, payload);
    const name = errorCode(code);
    const said = readable(reason);
    const encrypted = this.outgoing !== undefined;
    // Anybody can send a plain CLOSE: it ends this attempt and nothing else.
    const resumable = !encrypted || !kFinal.includes(name);
    const status = name === 'UNAUTHORIZED' ? 401 : name === 'FORBIDDEN' ? 403 : name === 'RATE_LIMITED' ? 429 : 0;
    this.end(
      new RaymeshError(`the gateway ended the connection: ${name}${said ? `, ${said}` : ''}`, {
        status,
        code: name.toLowerCase(),
        errorCode: name,
        retryable: !encrypted || (name !== 'UNAUTHORIZED' && name !== 'FORBIDDEN'),
      }),
      resumable,
    );
  }

  private take(callId: number): Pending | undefined {
    const call = this.pending.get(callId);
    this.pending.delete(callId);
    return call;
  }

  // ---- Frames that go ----

  private send(type: number, payload: Uint8Array): void {
    if (this.state === 'closed') return;
    this.write(this.outgoing!.seal(type, payload), payload.length);
  }

  private write(sealed: Uint8Array | Promise<Uint8Array>, size: number): void {
    if (!(sealed instanceof Promise) && !this.tail) return this.transport.send(sealed);
    this.unsealed += size;
    const sent = Promise.all([sealed, this.tail]).then(([bytes]) => {
      this.unsealed -= size;
      this.transport.send(bytes);
      // Nobody else says so when the transport never had too much.
      if (this.unsealed + this.transport.pending() <= kHighWater) this.flowOn();
    });
    const tail = sent.then(
      () => {
        if (this.tail === tail) this.tail = undefined;
      },
      (error: unknown) => this.failed(error),
    );
    this.tail = tail;
  }

  private flowOn(): void {
    const waiting = this.drained;
    this.drained = [];
    for (const go of waiting) go();
  }

  /** An RPC_CALL; its answer. Gives the id, by which it can be given up. */
  call(method: string, args: Uint8Array, metadata: Record<string, string>, progress: Progress = {}): { callId: number; answer: Promise<Answer> } {
    const { callId, answer } = this.expectAnswer(progress.onDownload);
    if (args.length > kMaxCallBytes)
      this.take(callId)?.reject(new RaymeshError(`arguments of ${args.length} bytes; a call takes 16 MiB`, { status: 413, code: 'body_too_large', errorCode: 'INVALID_REQUEST' }));
    else this.sendCall(callId, method, args, metadata, progress.onUpload).catch((error: unknown) => this.take(callId)?.reject(error));
    return { callId, answer };
  }

  private async sendCall(callId: number, method: string, args: Uint8Array, metadata: Record<string, string>, onUpload: Progress['onUpload']): Promise<void> {
    let sent = 0;
    let first: Partial<{ method: string; metadata: Record<string, string> }> = { method, metadata };
    do {
      const head = m.RpcCall.encode({ callId, more: true, ...first }).length;
      // The field's tag and length take at most 5 bytes.
      const room = Math.min(this.limit, kPart) - head - 5;
      if (room <= 0) throw new RaymeshError('the metadata of the call is too large', { status: 431, code: 'headers_too_large', errorCode: 'INVALID_REQUEST' });
      const part = args.subarray(sent, sent + room);
      sent += part.length;
      this.send(FrameType.Call, m.RpcCall.encode({ callId, ...first, args: part, more: sent < args.length }));
      first = {};
      try {
        onUpload?.(sent, args.length);
      } catch (error) {
        this.take(callId)?.reject(error);
      }
      if (sent < args.length && this.transport.pending() + this.unsealed > kHighWater) await new Promise<void>((go) => this.drained.push(go));
    } while (sent < args.length && this.pending.has(callId) && !this.isOver);
    // Given up on the way. There is no message to say so; but JSON that ends too early is refused as a whole, which ends the call. What is
    // not JSON might be read as a shorter message: that call stays as it is, never whole, until the session ends.
    if (sent < args.length && !this.isOver && metadata['content-type'] === 'application/json') this.send(FrameType.Call, m.RpcCall.encode({ callId }));
  }

  private expectAnswer(onDownload?: Progress['onDownload']): { callId: number; answer: Promise<Answer> } {
    const callId = ++this.lastCall;
    const answer = new Promise<Answer>((resolve, reject) => {
      if (this.ended) reject(this.ended.error);
      else this.pending.set(callId, { resolve, reject, status: 0, parts: [], size: 0, onDownload });
    });
    answer.catch(() => {});
    return { callId, answer };
  }

  /** The answer of this call is not wanted any more. */
  giveUp(callId: number): void {
    this.pending.delete(callId);
  }

  /** Gives what resumes this session. The limit rises with the answer and before anything that follows it is looked at. */
  async attach(apiKey: string, accessToken: string): Promise<Resumption> {
    const { callId, answer } = this.expectAnswer();
    let resumption: Resumption;
    const pending = this.pending.get(callId);
    if (pending) {
      const { resolve } = pending;
      pending.resolve = (given) => {
        this.attachedNow();
        resumption = this.resumption();
        resolve(given);
      };
      this.sendCall(callId, 'auth.attach', m.Attach.encode({ apiKey, accessToken }), {}, undefined).catch((error: unknown) => this.take(callId)?.reject(error));
    }
    m.Attached.decode((await answer).result);
    return resumption!;
  }

  /** Takes as many as fit into the frame; gives those that did not, those that are gone on the server, and what resumes this session from now on. */
  async resume(subscriptions: m.ResumeSubscription[]): Promise<{ left: m.ResumeSubscription[]; ended: m.ResumeSubscription[]; resumption: Resumption }> {
    const fit: m.ResumeSubscription[] = [];
    const left: m.ResumeSubscription[] = [];
    let size = 0;
    for (const subscription of subscriptions) {
      const bytes = m.Resume.encode({ subscriptions: [subscription] }).length;
      (size + bytes <= kUnattachedLimit && left.length === 0 ? fit : left).push(subscription);
      size += bytes;
    }
    if (this.ended) throw this.ended.error;
    const answered = new Promise<{ ended: m.ResumeSubscription[]; resumption: Resumption }>((resolve, reject) => (this.resumed = { resolve, reject }));
    this.send(FrameType.Resume, m.Resume.encode({ subscriptions: fit }));
    this.state = 'resume pending';
    return { left, ...(await answered) };
  }

  private takeEvents({ more, ...event }: m.EventMessage & { more: m.EventMessage[] }): void {
    this.options.onEvent(event);
    for (const one of more) this.options.onEvent(one);
  }

  async subscribe(kind: number, name: string, on: boolean, fromPosition: Uint8Array, presence: boolean): Promise<Uint8Array> {
    const { callId, answer } = this.expectAnswer();
    this.send(FrameType.Subscribe, m.Subscribe.encode({ callId, kind, name, on, fromPosition, presence, batches: true }));
    return m.Subscribed.decode((await answer).result).position;
  }

  private attachedNow(): void {
    this.state = 'attached';
    this.limit = kAttachedLimit;
    this.heartbeatTimer = setInterval(() => {
      if (this.unanswered >= 2) {
        this.transport.abort();
        this.end(networkError('the gateway does not answer heartbeats any more'), true);
      } else {
        this.heartbeat();
      }
    }, this.options.heartbeatMs);
  }

  private heartbeat(): void {
    this.unanswered += 1;
    this.send(FrameType.Heartbeat, m.Heartbeat.encode({ timestamp: Date.now() }));
  }

  // ---- The end ----

  private sendClose(code: ErrorCode, reason: string): void {
    if (this.outgoing) this.send(FrameType.Close, m.Close.encode({ code: codeNumber(code), reason: utf8(reason).subarray(0, 256) }));
  }

  /** A normal end: the session is over, too. Done when everything has been handed to the transport. */
  async close(): Promise<void> {
    this.sendClose('NONE', '');
    const last = this.tail;
    this.end(new RaymeshError('the client was closed', { status: 0, code: 'closed', errorCode: 'NONE', retryable: false }), false);
    await last;
  }

  /** Without a word; the session can be resumed. */
  drop(error: RaymeshError): void {
    this.transport.abort();
    this.end(error, true);
  }

  private end(error: RaymeshError, resumable: boolean): void {
    if (this.state === 'closed') return;
    const last = this.tail;
    this.state = 'closed';
    this.ended = { error, resumable };
    clearInterval(this.heartbeatTimer);
    if (last) void last.then(() => this.transport.close());
    else this.transport.close();
    this.readyReject(error);
    this.resumed?.reject(error);
    const calls = [...this.pending.values()];
    this.pending.clear();
    for (const call of calls) call.reject(error);
    this.flowOn();
    // Frames that are still being encrypted have their keys already.
    this.incoming?.wipe();
    this.outgoing?.wipe();
    this.handshake.wipe();
    this.result?.secrets.resumption.fill(0);
    this.options.onEnd({ error, resumable });
  }
}

function read<T extends object>(type: m.MessageType<T>, payload: Uint8Array): T {
  try {
    return type.decode(payload);
  } catch (error) {
    throw new Refused('INVALID_REQUEST', (error as Error).message);
  }
}
