// Subscriptions: one topic per name on the session, and any number of readers of it, each an async iterator with a bounded queue.
import { text } from './bytes.js';
import { RaymeshError } from './errors.js';
import type { EventMessage } from './messages.js';

export const kTable = 1;
export const kChannel = 2;
export type SubscriptionKind = 'table' | 'channel';

export interface SubscribeOptions {
  /** Default: a channel. */
  kind?: SubscriptionKind;
  /** The position of an event: what came after it. Without it: from now on. */
  from?: Uint8Array;
  /** Of a channel: `join` and `leave`, too. */
  presence?: boolean;
}

const kTypes = ['unknown', 'insert', 'update', 'delete', 'message', 'join', 'leave', 'reset', 'end'] as const;
export const kEnd = 8;
export type EventType = (typeof kTypes)[number];

/**
 * One event. `reset`: events before its position were missed and cannot be had any more; with the id "presence" it is `join` and `leave` alone. `end`: the
 * server has ended the subscription, because it was revoked; its readers then throw.
 */
export class SubscriptionEvent {
  constructor(private readonly event: EventMessage) {}

  get type(): EventType {
    return kTypes[this.event.type] ?? 'unknown';
  }
  /** Of the table or channel. */
  get name(): string {
    return this.event.name;
  }
  /** Of the row or member. */
  get id(): string {
    return this.event.id;
  }
  /** What a later subscription goes on from (`from`). */
  get position(): Uint8Array {
    return this.event.position;
  }
  /** As JSON; undefined when there is none. Throws for what is not JSON: take `bytes` then. */
  get data(): unknown {
    return parse(this.event.data);
  }
  get oldData(): unknown {
    return parse(this.event.oldData);
  }
  get bytes(): Uint8Array {
    return this.event.data;
  }
}

const parse = (bytes: Uint8Array): unknown => (bytes.length === 0 ? undefined : JSON.parse(text(bytes)));

/** What a session knows of one name that is subscribed to. */
export class Topic {
  readonly readers = new Set<Subscription>();
  /** The server has answered that it has it: its stored session knows it, and RESUME may name it. */
  known = false;
  /** It was known once. */
  wasThere = false;
  /** Resolves then; rejects when it ends before. */
  readonly answered: Promise<void>;
  private settle!: { resolve(): void; reject(error: RaymeshError): void };
  private readonly ended = new AbortController();

  constructor(
    readonly kind: number,
    readonly name: string,
    /** Of the last event that was seen; empty: none yet. */
    public position: Uint8Array = new Uint8Array(),
    /** `join` and `leave` are wanted, too. */
    readonly presence = false,
  ) {
    this.answered = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    this.answered.catch(() => {});
  }

  /** Aborted when nobody wants it any more. */
  get left(): AbortSignal {
    return this.ended.signal;
  }

  /** The server has it; events behind `position` come, or have come already. */
  begins(position: Uint8Array): void {
    this.known = this.wasThere = true;
    if (this.position.length === 0) this.position = position;
    this.settle.resolve();
  }

  end(error: RaymeshError): void {
    this.ended.abort();
    this.settle.reject(error);
  }

  take(event: EventMessage): void {
    if (event.position.length > 0) this.position = event.position;
    for (const reader of [...this.readers]) reader.push(new SubscriptionEvent(event));
  }
}

/**
 * Reads one subscription: `for await (const event of subscription)`. It survives connections; it ends when it is closed or left with
 * `break`, and throws when it cannot go on.
 */
export class Subscription implements AsyncIterableIterator<SubscriptionEvent> {
  private queue: SubscriptionEvent[] = [];
  private waiting: { resolve(result: IteratorResult<SubscriptionEvent>): void; reject(error: Error): void }[] = [];
  private error: RaymeshError | undefined;
  private over = false;

  /** @internal */
  constructor(
    readonly name: string,
    private readonly bound: number,
    private readonly onClose: (subscription: Subscription) => Promise<void>,
    /** Resolves when the server has said that events come; rejects when they cannot. */
    readonly ready: Promise<void>,
  ) {
    ready.catch(() => {});
  }

  /** @internal */
  push(event: SubscriptionEvent): void {
    if (this.over) return;
    const reader = this.waiting.shift();
    if (reader) {
      reader.resolve({ value: event, done: false });
    } else if (this.queue.length < this.bound) {
      this.queue.push(event);
    } else {
      this.fail(
        new RaymeshError(`"${this.name}" has brought ${this.bound} events that nobody has read; subscribe again with \`from\` to go on`, {
          status: 0,
          code: 'slow_consumer',
          errorCode: 'RATE_LIMITED',
          retryable: false,
        }),
      );
      void this.onClose(this);
    }
  }

  /** What came before is still read. @internal */
  fail(error: RaymeshError): void {
    if (this.over) return;
    this.over = true;
    this.error = error;
    this.settle();
  }

  private settle(): void {
    const readers = this.waiting;
    this.waiting = [];
    readers.forEach((reader, i) => (this.error && i === 0 ? reader.reject(this.takeError()!) : reader.resolve({ value: undefined, done: true })));
  }

  private takeError(): RaymeshError | undefined {
    const { error } = this;
    this.error = undefined;
    return error;
  }

  next(): Promise<IteratorResult<SubscriptionEvent>> {
    const event = this.queue.shift();
    if (event) return Promise.resolve({ value: event, done: false });
    const error = this.takeError();
    if (error) return Promise.reject(error);
    if (this.over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  async return(): Promise<IteratorResult<SubscriptionEvent>> {
    await this.close();
    return { value: undefined, done: true };
  }

  /** No event comes after this. */
  async close(): Promise<void> {
    if (this.over) return;
    this.over = true;
    this.queue = [];
    this.settle();
    await this.onClose(this);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
