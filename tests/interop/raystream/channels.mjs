// Channels in memory for the server's role: every event has a position, eight bytes that count from 1.

export const kMessage = 4;
export const kReset = 7;

const toPosition = (count) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(count));
  return bytes;
};

export class Channels {
  // kept: how many events of a channel can be had again.
  constructor(kept = Infinity) {
    this.kept = kept;
    this.logs = new Map();
    this.gones = new Set();
  }

  log(name) {
    if (!this.logs.has(name)) this.logs.set(name, { events: [], subscribers: new Set() });
    return this.logs.get(name);
  }

  gone(kind, name) {
    return this.gones.has(name);
  }

  subscribe(connection, kind, name, from) {
    const log = this.log(name);
    log.subscribers.add(connection);
    return from.length > 0 ? from : toPosition(log.events.length);
  }

  // What follows `from`, or RESET when that is not kept any more.
  replay(connection, kind, name, from) {
    if (from.length === 0) return;
    const { events } = this.log(name);
    const seen = Number(from.readBigUInt64BE());
    if (events.length - seen > this.kept) {
      connection.event({ kind, name, type: kReset, position: toPosition(events.length) });
      return;
    }
    for (const event of events.slice(seen)) connection.event({ ...event, kind });
  }

  unsubscribe(connection, kind, name) {
    this.log(name).subscribers.delete(connection);
  }

  publish(name, data, kind = 2) {
    const { events, subscribers } = this.log(name);
    const event = { kind, name, type: kMessage, position: toPosition(events.length + 1), data: Buffer.from(data) };
    events.push(event);
    for (const connection of subscribers) connection.event(event);
  }
}

