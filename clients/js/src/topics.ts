// The subscriptions of a session over its connections: what the readers want, what the gateway has of it, and how the one is made to
// follow the other. Of one name there is one SUBSCRIBE on its way at a time: the gateway refuses the end of a subscription that it has
// not answered, and a new one of a name that is not ended yet.
import type { Connection } from './connection.js';
import { isRaymeshError, RaymeshError, subscriptionClosed } from './errors.js';
import type { Resumption } from './handshake.js';
import type { EventMessage } from './messages.js';
import { backoff, delay, kTries } from './retry.js';
import { kChannel, kEnd, kTable, Subscription, Topic, type SubscribeOptions } from './subscription.js';

// A name on the connection that is up.
interface Line {
  /** Whose events come. Another one than the readers want: it is to be ended. */
  topic: Topic | undefined;
  /** SUBSCRIBE is on its way, or a pause before the next one: what is wanted by then comes after it. */
  asking: boolean;
  done: Promise<void>;
}

const newLine = (topic?: Topic): Line => ({ topic, asking: false, done: Promise.resolve() });
const keyOf = ({ kind, name }: { kind: number; name: string }): string => `${kind} ${name}`;

export class Topics {
  private topics = new Map<string, Topic>();
  private lines = new Map<string, Line>();
  private connection: Connection | undefined;  // that takes SUBSCRIBE

  constructor(
    private readonly bound: number,
    private readonly ending: AbortSignal,
    /** Sees to it that there will be a connection. */
    private readonly connect: () => Promise<unknown>,
  ) {}

  subscribe(name: string, options: SubscribeOptions): Subscription {
    const kind = options.kind === 'table' ? kTable : kChannel;
    const key = keyOf({ kind, name });
    const there = this.topics.get(key);
    if (there && (options.from || (options.presence && !there.presence)))
      throw new TypeError(`"${name}" is subscribed to already: \`from\` and \`presence\` are for the first reader`);
    const topic = there ?? new Topic(kind, name, options.from, options.presence);
    const subscription = new Subscription(name, this.bound, (one) => this.leave(topic, one), topic.answered);
    topic.readers.add(subscription);
    if (there) return subscription;
    this.topics.set(key, topic);
    this.follow(key);
    this.connect().catch((error: RaymeshError) => this.failTopic(topic, error));
    return subscription;
  }

  // ---- Connections ----

  /** A new session: everything is asked for. */
  begin(connection: Connection): void {
    this.lines = new Map();
    this.connection = connection;
    for (const key of this.topics.keys()) this.follow(key);
  }

  /** Goes on with what the gateway has. Gives what resumes this session from now on. */
  async resume(connection: Connection): Promise<Resumption> {
    this.connection = undefined;
    const asked = [...this.topics.values()].filter(({ known, position }) => known && position.length > 0);
    // Events follow the answer at once.
    const lines = new Map(asked.map((topic) => [keyOf(topic), newLine(topic)]));
    this.lines = lines;
    const { left, ended, resumption } = await connection.resume(asked.map(({ kind, name, position, presence }) => ({ kind, name, position, presence, batches: true })));
    for (const one of [...left, ...ended]) lines.delete(keyOf(one));
    this.connection = connection;
    // Some may have been left or begun meanwhile.
    for (const key of new Set([...lines.keys(), ...this.topics.keys()])) this.follow(key);
    return resumption;
  }

  lost(connection: Connection): void {
    if (this.connection === connection) this.connection = undefined;
  }

  take(event: EventMessage): void {
    const key = keyOf(event);
    const line = this.lines.get(key);
    const topic = line?.topic;
    if (!line || !topic) return;
    if (event.type === kEnd) line.topic = undefined;
    // Of one that has been left, until the gateway knows.
    if (this.topics.get(key) !== topic) return;
    topic.take(event);
    if (event.type === kEnd)
      this.failTopic(topic, new RaymeshError(`the subscription to "${topic.name}" was revoked`, { status: 403, code: 'permission_denied', errorCode: 'PERMISSION_DENIED' }));
  }

  // ---- What the gateway has follows what the readers want ----

  private follow(key: string): void {
    const { connection } = this;
    if (!connection) return;
    const line = this.lines.get(key) ?? newLine();
    this.lines.set(key, line);
    if (line.asking) return;
    line.asking = true;
    line.done = this.settle(connection, key, line);
  }

  private async settle(connection: Connection, key: string, line: Line): Promise<void> {
    let goesOn = true;
    while (goesOn && !connection.isOver && line.topic !== this.topics.get(key)) {
      const wanted = this.topics.get(key);
      if (line.topic) goesOn = await this.end(connection, line, line.topic);
      else if (wanted) await this.ask(connection, line, wanted);
    }
    line.asking = false;
    if (!line.topic && !this.topics.has(key) && this.lines.get(key) === line) this.lines.delete(key);
  }

  // Again while a part behind the gateway is away: for good if the topic was there before, else as often as a call.
  private async ask(connection: Connection, line: Line, topic: Topic): Promise<void> {
    const wanted = (): boolean => !connection.isOver && this.topics.get(keyOf(topic)) === topic;
    for (let attempt = 0; wanted(); attempt += 1) {
      // Events behind the answer may be here before it is looked at.
      line.topic = topic;
      topic.known = false;
      try {
        topic.begins(await connection.subscribe(topic.kind, topic.name, true, topic.position, topic.presence));
        return;
      } catch (error) {
        // A connection that went: the next one asks again.
        if (connection.isOver) return;
        line.topic = undefined;
        if (!isRaymeshError(error) || !error.retryable || (!topic.wasThere && attempt + 1 >= kTries)) return this.failTopic(topic, error as RaymeshError);
        await delay(error.retryAfterMs + backoff(attempt), topic.left).catch(() => {});
      }
    }
  }

  // False: the gateway may still have it.
  private async end(connection: Connection, line: Line, topic: Topic): Promise<boolean> {
    for (let attempt = 0; attempt < kTries && !connection.isOver && !this.ending.aborted; attempt += 1) {
      try {
        await connection.subscribe(topic.kind, topic.name, false, new Uint8Array(), false);
        line.topic = undefined;
        return true;
      } catch (error) {
        if (connection.isOver) return false;
        if (!isRaymeshError(error) || !error.retryable) {
          // It has ended by itself.
          line.topic = undefined;
          return true;
        }
        await delay(error.retryAfterMs + backoff(attempt), this.ending).catch(() => {});
      }
    }
    return false;
  }

  // ---- The end ----

  private async leave(topic: Topic, subscription: Subscription): Promise<void> {
    topic.readers.delete(subscription);
    const key = keyOf(topic);
    if (topic.readers.size > 0 || this.topics.get(key) !== topic) return;
    this.topics.delete(key);
    topic.end(subscriptionClosed(topic.name));
    // Without a connection there is nothing to say: the next one names what goes on.
    this.follow(key);
    await this.lines.get(key)?.done;
  }

  private failTopic(topic: Topic, error: RaymeshError): void {
    const key = keyOf(topic);
    if (this.topics.get(key) === topic) this.topics.delete(key);
    topic.end(error);
    for (const reader of topic.readers) reader.fail(error);
    topic.readers.clear();
  }

  /** Nothing goes on any more, and readers learn why. */
  fail(error: RaymeshError): void {
    for (const topic of [...this.topics.values()]) this.failTopic(topic, error);
  }

  /** Readers end without an error. */
  async close(error: RaymeshError): Promise<void> {
    const topics = [...this.topics.values()];
    this.topics.clear();
    this.lines.clear();
    for (const topic of topics) {
      topic.end(error);
      for (const reader of [...topic.readers]) await reader.close();
    }
  }
}
