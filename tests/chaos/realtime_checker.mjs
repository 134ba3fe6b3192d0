// Judges what a realtime cluster did, from logs alone: what publishers sent and were answered, what every connection saw, what presence
// reads said. It knows the protocol page (docs/protocols/realtime.md) and nothing else, holds no socket and reads no clock.
//
// A history is plain data; all times are milliseconds of one clock:
//   publishes     [{id, channel, publisher, connection?, seq?, sent, answered, outcome, epoch?, offset?, delivered?}]; the payload holds `id`.
//                 outcome: 'ok' | 'refused' (it was not published) | 'unknown'; answered is null when no answer came.
//   sessions      [{client, kind, identity, node, started, opened, closing, ended, end, connection?, channels?, resume?, log}], one per connection,
//                 a client's in their order. kind: 'v1' | 'plain' | 'sse'. opened: null when it never opened; closing: when the client began to
//                 close; deaf?: when it stopped reading; ended: when the client saw the end; end: {code, reason}. channels: of 'plain' and 'sse'. resume: {channel: position}
//                 that an 'sse' session began at. log: [{at, out: command} | {at, in: event}].
//   presence      [{channel, asked, answered, members: [{id, identity}], count, identities, complete}]
//   disturbances  [{from, to, nodes, lasting?}]: nodes is null for all of them. What a disturbed node's members are is only bounded from above,
//                 until the presence bound after its end. lasting: connections that ended in it count as ended at `to`.
//   ended         when the log ends.
const kDefaults = {
  /** How long a dead node's members may still be shown and counted. */
  presenceBoundMs: 10_000,
  /** How long presence may lag behind a join or a clean end. */
  presenceLagMs: 2_000,
  /** How long until a connection that missed something must have got it or been told. */
  noticeMs: 5_000,
  /** How much later than the server a client may see its own connection's end. */
  clientLagMs: 1_000,
  /** (channel, position, subscribe time) => whether recovery has to succeed. */
  mustRecover: () => false,
  /** {channel: id}: messages that every client in `served` must have got at last. */
  markers: {},
  /** Clients that must be served at the end: [{client, channels}]. */
  served: [],
  /** [{identities, from, to}]: these are never seen absent in between. */
  steady: [],
};

const samePosition = (a, b) => a.epoch === b.epoch && a.offset === b.offset;
/** A connection is in a channel once, however often it has subscribed. */
const once = (members) => [...new Map(members.map((m) => [m.session, m])).values()];
const by = (list, key) => list.reduce((map, x) => (map.has(key(x)) ? map.get(key(x)).push(x) : map.set(key(x), [x]), map), new Map());
const show = (p) => (p ? `${p.epoch}:${p.offset}` : 'nowhere');

/** Gives {violations: [{kind, channel?, client?, at?, detail}], stats}. */
export function check(history, options = {}) {
  return new Check(history, { ...kDefaults, ...options }).run();
}

class Check {
  constructor(history, options) {
    this.history = { publishes: [], sessions: [], presence: [], disturbances: [], ...history };
    this.options = options;
    this.violations = [];
    this.stats = { received: 0, plainReceived: 0, plainUnplaced: 0, recovered: 0, notRecovered: 0, gaps: 0, deliveredExact: 0, deliveredBounded: 0, presenceReads: 0, joins: 0, leaves: 0, handovers: 0, epochs: 0 };
    this.published = new Map(this.history.publishes.map((p) => [p.id, p]));
    this.places = new Map(); // id -> {epoch, offset}
    this.channels = new Map(); // channel -> Map(epoch -> Map(offset -> id))
  }

  run() {
    for (const p of this.history.publishes) if (p.outcome === 'ok' && p.offset !== undefined) this.#place(p.channel, p.epoch, p.offset, p.id, `the answer to ${p.publisher}`, p.answered);
    this.#clients();
    this.#plain();
    this.#orderOfPublishers();
    this.#arrivals();
    this.#membership();
    this.#delivered();
    this.#presence();
    this.#presenceEvents();
    this.#handovers();
    this.#steadyIdentities();
    this.#served();
    for (const epochs of this.channels.values()) this.stats.epochs += epochs.size;
    return { violations: this.violations, stats: this.stats };
  }

  #found(kind, where, detail) {
    this.violations.push({ kind, ...where, detail });
  }

  /** Says that `id` is at this place of the channel. One message per place, one place per message. */
  #place(channel, epoch, offset, id, by, at) {
    const sent = this.published.get(id);
    if (!sent) return this.#found('unknown-message', { channel, at }, `${by}: ${id} at ${epoch}:${offset} was never published`);
    if (sent.channel !== channel) return this.#found('wrong-channel', { channel, at }, `${by}: ${id} was published to ${sent.channel}`);
    const epochs = this.channels.get(channel) ?? this.channels.set(channel, new Map()).get(channel);
    const offsets = epochs.get(epoch) ?? epochs.set(epoch, new Map()).get(epoch);
    const other = offsets.get(offset);
    if (other !== undefined && other !== id) this.#found('two-orders', { channel, at }, `${by}: ${id} at ${epoch}:${offset}, where others have ${other}`);
    else offsets.set(offset, id);
    const place = this.places.get(id);
    if (place && !samePosition(place, { epoch, offset })) this.#found('published-twice', { channel, at }, `${by}: ${id} at ${epoch}:${offset} and at ${show(place)}`);
    else this.places.set(id, { epoch, offset });
  }

  /** Streams with offsets: v1 and sse. Fills session.subscriptions: [{channel, asked, since, until, presence, seen, gaps}]. */
  #clients() {
    const last = new Map(); // client -> Map(channel -> position)
    for (const s of this.history.sessions) {
      s.subscriptions = [];
      if (s.kind === 'plain') continue;
      const known = last.get(s.client) ?? last.set(s.client, new Map()).get(s.client);
      const asked = new Map();
      const current = new Map();
      if (s.kind === 'sse') for (const channel of s.channels) asked.set(channel, { at: s.started, position: s.resume?.[channel], presence: s.presenceEvents });
      for (const entry of s.log) {
        if (entry.out) this.#command(entry.at, entry.out, asked, current);
        else this.#event(s, entry.at, entry.in, known, asked, current);
      }
      for (const sub of current.values()) sub.until ??= s.ended ?? this.history.ended;
    }
  }

  #command(at, command, asked, current) {
    if (command.type === 'subscribe') asked.set(command.channel, { at, position: command.position, presence: command.presence });
    if (command.type === 'unsubscribe' && current.has(command.channel)) current.get(command.channel).leaving ??= at;
  }

  #event(s, at, event, known, asked, current) {
    const where = { channel: event.channel, client: s.client, at };
    const sub = current.get(event.channel);
    switch (event.type) {
      case 'subscribed':
        if (sub) this.#found('subscribed-twice', where, JSON.stringify(event));
        return this.#subscribed(s, at, event, known, asked.get(event.channel), current, where);
      case 'unsubscribed':
        if (sub) sub.until = at;
        current.delete(event.channel);
        return;
      case 'message':
        return this.#message(s, at, event.offset, event.payload, sub, known, where);
      case 'messages':
        return event.payloads.forEach((payload, i) => this.#message(s, at, event.offset + i, payload, sub, known, where));
      case 'gap':
        return this.#gap(at, event, sub, known, where);
      case 'join':
      case 'leave':
        if (!sub) this.#found('event-without-subscription', where, JSON.stringify(event));
        else if (!sub.presence) this.#found('presence-event-not-asked', where, JSON.stringify(event));
        else sub.presenceEvents.push({ at, type: event.type, member: event.member });
        return;
      default:
    }
  }

  #subscribed(s, at, event, known, asked, current, where) {
    const base = { epoch: event.epoch, offset: event.offset };
    if (!asked) return this.#found('subscribed-unasked', where, JSON.stringify(event));
    if (typeof base.epoch !== 'string' || base.epoch === '' || base.epoch.length > 32 || !Number.isInteger(base.offset) || base.offset < 0) this.#found('bad-position', where, JSON.stringify(event));
    const sub = { channel: event.channel, asked: asked.at, since: at, until: null, presence: asked.presence, base, position: base, member: event.member, conflated: event.conflated === true, seen: new Set(), gaps: [], presenceEvents: [] };
    const before = known.get(event.channel);
    if (asked.position && event.recovered === true) {
      this.stats.recovered++;
      if (!samePosition(base, asked.position)) this.#found('recovered-from-elsewhere', where, `asked ${show(asked.position)}, got ${show(base)}`);
    } else {
      if (asked.position) {
        if (event.recovered !== false) this.#found('no-word-on-recovery', where, JSON.stringify(event));
        this.stats.notRecovered++;
        if (this.options.mustRecover(event.channel, asked.position, asked.at)) this.#found('not-recovered', where, `from ${show(asked.position)}, now ${show(base)}`);
      } else if (event.recovered !== undefined) this.#found('recovered-unasked', where, JSON.stringify(event));
      // The position is the channel's latest: no acknowledged message is beyond it, and it is not behind what this client has had.
      if (before && before.epoch === base.epoch && base.offset < before.offset) this.#found('went-back', where, `had ${show(before)}, subscribed at ${show(base)}`);
      for (const p of this.#inChannel(event.channel))
        if (p.outcome === 'ok' && p.answered < asked.at && p.epoch === base.epoch && p.offset > base.offset) {
          this.#found('stale-position', where, `${p.id} at ${p.epoch}:${p.offset} was acknowledged before; subscribed at ${show(base)}`);
          break;
        }
    }
    known.set(event.channel, base);
    current.set(event.channel, sub);
    s.subscriptions.push(sub);
  }

  #inChannel(channel) {
    this.byChannel ??= this.history.publishes.reduce((map, p) => (map.has(p.channel) ? map.get(p.channel).push(p) : map.set(p.channel, [p]), map), new Map());
    return this.byChannel.get(channel) ?? [];
  }

  #message(s, at, offset, payload, sub, known, where) {
    if (!sub) return this.#found('event-without-subscription', where, JSON.stringify(payload).slice(0, 100));
    this.stats.received++;
    const { epoch, offset: had } = sub.position;
    const id = payload?.id;
    if (offset <= had) this.#found(sub.seen.has(id) ? 'duplicate' : 'out-of-order', where, `${id} at ${epoch}:${offset} after ${had}, in session ${s.started}`);
    else if (offset !== had + 1 && !sub.conflated) this.#found('silent-gap', where, `${epoch}:${offset} after ${had}: ${offset - had - 1} missing`);
    if (sub.seen.has(id) && offset > had) this.#found('duplicate', where, `${id} again, at ${epoch}:${offset}`);
    sub.seen.add(id);
    if (offset > had) sub.position = { epoch, offset };
    known.set(sub.channel, sub.position);
    this.#place(sub.channel, epoch, offset, id, s.client, at);
  }

  #gap(at, event, sub, known, where) {
    if (!sub) return this.#found('event-without-subscription', where, JSON.stringify(event));
    this.stats.gaps++;
    sub.gaps.push({ at, reason: event.reason });
    if (event.reason === 'presence') {
      // Of events alone: it has no position, so that it can hide no hole in the messages.
      if (event.epoch !== undefined || event.offset !== undefined || event.lost !== undefined) this.#found('bad-gap', where, JSON.stringify(event));
      if (!sub.presence) this.#found('presence-event-not-asked', where, JSON.stringify(event));
      return;
    }
    const to = { epoch: event.epoch, offset: event.offset };
    if (!['slow', 'broker'].includes(event.reason)) this.#found('bad-gap', where, JSON.stringify(event));
    if (to.epoch === sub.position.epoch) {
      const lost = to.offset - sub.position.offset;
      if (lost < 0) this.#found('went-back', where, `gap to ${show(to)} after ${show(sub.position)}`);
      else if (event.lost !== undefined && event.lost !== lost) this.#found('bad-gap', where, `says ${event.lost} lost; from ${show(sub.position)} to ${show(to)} are ${lost}`);
    }
    sub.position = to;
    known.set(sub.channel, to);
  }

  /** Default frames: no offsets on the wire, so each message's place comes from the others. */
  #plain() {
    for (const s of this.history.sessions) {
      if (s.kind !== 'plain' || s.opened === null) continue;
      for (const channel of s.channels) s.subscriptions.push({ channel, asked: s.started, since: s.opened, until: s.ended ?? this.history.ended, seen: new Set(), gaps: [], presenceEvents: [], lost: false });
      const subs = new Map(s.subscriptions.map((sub) => [sub.channel, sub]));
      for (const { at, in: event } of s.log) {
        if (event?.type === 'gap') subs.get(event.channel)?.gaps.push({ at, reason: event.reason });
        if (event?.type !== 'message') continue;
        const where = { channel: event.channel, client: s.client, at };
        const sub = subs.get(event.channel);
        const id = event.payload?.id;
        if (!sub) {
          this.#found('event-without-subscription', where, id);
          continue;
        }
        this.stats.plainReceived++;
        const sent = this.published.get(id);
        if (!sent) this.#found('unknown-message', where, `${id} was never published`);
        else if (sent.channel !== event.channel) this.#found('wrong-channel', where, `${id} was published to ${sent.channel}`);
        if (sub.seen.has(id)) this.#found('duplicate', where, `${id} again`);
        else if (sub.gaps.length === 0) this.#plainStep(s, sub, this.places.get(id), id, where);
        sub.seen.add(id);
      }
    }
  }

  #plainStep(s, sub, place, id, where) {
    const last = sub.place;
    sub.place = place;
    if (!place) this.stats.plainUnplaced++;
    if (!place || !last) return;
    const missing = (epoch, from, to) => {
      const offsets = this.channels.get(sub.channel).get(epoch);
      const ids = [];
      for (const [offset, other] of offsets) if (offset > from && offset < to && this.published.get(other)?.connection !== s.connectionKey) ids.push(`${other}@${offset}`);
      return ids;
    };
    if (place.epoch === last.epoch) {
      if (place.offset <= last.offset) return this.#found('out-of-order', where, `${id} at ${show(place)} after ${show(last)}`);
      const ids = missing(place.epoch, last.offset, place.offset);
      if (ids.length > 0) this.#found('silent-gap', where, `${show(place)} after ${show(last)}: ${ids.slice(0, 5)} missing, ${ids.length} in all, and not closed`);
    } else {
      const ids = [...missing(last.epoch, last.offset, Infinity), ...missing(place.epoch, 0, place.offset)];
      if (ids.length > 0) this.#found('silent-gap', where, `${show(place)} after ${show(last)}: ${ids.slice(0, 5)} missing, ${ids.length} in all, and not closed`);
    }
  }

  /** What was acknowledged before something else was sent stands before it; a connection's messages stand as it sent them. */
  #orderOfPublishers() {
    for (const channel of this.channels.keys()) {
      const placed = this.#inChannel(channel).filter((p) => this.places.has(p.id)).map((p) => ({ ...p, ...this.places.get(p.id) }));
      for (const p of placed) if (p.outcome === 'refused') this.#found('refused-but-published', { channel, at: p.answered }, `${p.id} was refused with ${p.code}, and is at ${p.epoch}:${p.offset}`);
      const bySent = [...placed].sort((a, b) => a.sent - b.sent);
      const byAnswer = placed.filter((p) => p.outcome === 'ok').sort((a, b) => a.answered - b.answered);
      const highest = new Map(); // epoch -> the highest offset that was acknowledged by now
      const entered = []; // epochs in the order of their first acknowledgement
      let next = 0;
      for (const p of bySent) {
        for (; next < byAnswer.length && byAnswer[next].answered < p.sent; next++) {
          const a = byAnswer[next];
          if (!highest.has(a.epoch)) entered.push(a.epoch);
          if (!(highest.get(a.epoch)?.offset > a.offset)) highest.set(a.epoch, a);
        }
        const above = highest.get(p.epoch);
        if (above?.offset > p.offset) this.#found('out-of-order', { channel, at: p.sent }, `${p.id} at ${p.epoch}:${p.offset} was sent after ${above.id} at ${above.offset} was acknowledged`);
        if (above && entered[entered.length - 1] !== p.epoch) this.#found('epoch-came-back', { channel, at: p.sent }, `${p.id} at ${p.epoch}:${p.offset}, after a message of ${entered[entered.length - 1]} was acknowledged`);
      }
      const lanes = new Map();
      for (const p of placed) if (p.connection !== undefined) (lanes.get(p.connection) ?? lanes.set(p.connection, []).get(p.connection)).push(p);
      for (const lane of lanes.values()) {
        lane.sort((a, b) => a.seq - b.seq);
        for (let i = 1; i < lane.length; i++)
          if (lane[i].epoch === lane[i - 1].epoch && lane[i].offset <= lane[i - 1].offset) this.#found('out-of-order', { channel, at: lane[i].sent }, `${lane[i].id} at ${lane[i].offset}, sent on one connection after ${lane[i - 1].id} at ${lane[i - 1].offset}`);
      }
    }
  }

  /** What was published with success while a connection was subscribed has come, or its loss was said, or the connection has ended. */
  #arrivals() {
    for (const s of this.history.sessions)
      for (const sub of s.subscriptions ?? []) {
        if (sub.conflated) continue;
        const until = Math.min(sub.leaving ?? Infinity, s.closing ?? Infinity, sub.until) - this.options.noticeMs;
        const missing = this.#inChannel(sub.channel).filter((p) =>
          p.outcome === 'ok' && p.sent > sub.since && p.answered < until && !sub.seen.has(p.id) &&
          !(s.kind === 'plain' && p.connection !== undefined && p.connection === s.connectionKey) && !sub.gaps.some((g) => g.reason !== 'presence' && g.at > p.sent));
        if (missing.length > 0)
          this.#found('never-arrived', { channel: sub.channel, client: s.client, at: missing[0].sent },
            `${missing.length} messages, the first ${missing[0].id} at ${show(this.places.get(missing[0].id))}, sent ${Math.round(missing[0].sent)}, answered ${Math.round(missing[0].answered)}; the ${s.kind} connection was subscribed from ${Math.round(sub.since)} to ${Math.round(sub.until)}`);
      }
  }

  /** session.memberships: [{channel, maybeFrom, surelyFrom, surelyTo, maybeTo}]: when it can have been, and when it must have been a member. */
  #membership() {
    this.members = new Map(); // channel -> [membership]
    for (const s of this.history.sessions)
      for (const sub of s.subscriptions ?? []) {
        const bySub = sub.until < (s.ended ?? Infinity) && sub.leaving !== undefined;
        const told = s.log.find((e) => e.in && (e.in.type === 'reconnect' || e.in.type === 'closed'))?.at;
        const surelyTo = Math.min(sub.leaving ?? Infinity, s.deaf ?? Infinity, s.closing ?? Infinity, told ?? Infinity, (s.ended ?? Infinity) - this.options.clientLagMs, sub.until === this.history.ended && s.ended === null ? Infinity : sub.until);
        let maybeTo = Infinity;
        if (bySub) maybeTo = sub.until + this.options.presenceLagMs;
        else if (s.ended !== null) maybeTo = this.#gone(s);
        // Presence shows it under its connection's id, or under the one whose place it took; a stream does not know its own, but what it went on as.
        const m = { session: s, sub, id: sub.member ?? s.connection, channel: sub.channel, maybeFrom: sub.asked, surelyFrom: sub.since, surelyTo, maybeTo };
        (this.members.get(sub.channel) ?? this.members.set(sub.channel, []).get(sub.channel)).push(m);
      }
    for (const all of this.members.values())
      for (const mine of by(all, (m) => m.session.client).values())
        for (const heir of mine) if (heir.sub.member) heir.before = mine.filter((m) => m.session !== heir.session && m.surelyTo < heir.surelyFrom).at(-1);
    for (const all of this.members.values())
      for (const { id, before } of all)
        if (before) {
          before.id ??= id;
          before.inherited = before.id === id;
        }
    // What was asked for but failed, or was never answered, may have made it a member for a while all the same.
    for (const s of this.history.sessions)
      for (const { channel, at, failed, code } of this.#unfulfilled(s)) {
        let maybeTo = s.ended === null ? Infinity : this.#gone(s);
        if (failed !== undefined) maybeTo = Math.min(maybeTo, code === 'outcome_unknown' ? this.#gone(s, failed, this.options.presenceBoundMs) : failed + this.options.presenceLagMs);
        (this.members.get(channel) ?? this.members.set(channel, []).get(channel)).push({ session: s, id: s.connection, channel, maybeFrom: at, surelyFrom: Infinity, surelyTo: -Infinity, maybeTo });
      }
    for (const all of this.members.values()) for (const mine of by(all, (m) => m.session).values()) for (const m of mine) m.others = mine;
  }

  /** Subscriptions that did not come about: [{channel, at, failed?, code?}]. */
  #unfulfilled(s) {
    if (s.kind !== 'v1') {
      const answered = new Set((s.subscriptions ?? []).map((sub) => sub.channel));
      return s.channels.filter((c) => !answered.has(c)).map((channel) => ({ channel, at: s.started }));
    }
    const out = [];
    const open = new Map(); // command's id -> {channel, at}
    for (const e of s.log) {
      if (e.out?.type === 'subscribe') open.set(e.out.id, { channel: e.out.channel, at: e.at });
      if (e.in?.type === 'error' && open.has(e.in.id)) out.push({ ...open.get(e.in.id), failed: e.at, code: e.in.code });
      if (e.in?.type === 'subscribed' || e.in?.type === 'error') open.delete(e.in.id);
    }
    return [...out, ...open.values()];
  }

  /** When who ended (or failed) at this time is gone from presence at the latest. */
  #gone(s, at = s.ended, more = 0) {
    let gone = at + more + this.options.presenceLagMs;
    for (const d of this.history.disturbances)
      if (this.#touches(d, s.node) && at >= d.from - this.options.clientLagMs && at <= d.to + this.options.presenceBoundMs)
        gone = Math.max(gone, (d.lasting ? Math.max(d.to, at) : at) + this.options.presenceBoundMs + this.options.presenceLagMs);
    return gone;
  }

  #touches(d, node) {
    return d.nodes === null || d.nodes.includes(node);
  }

  #disturbed(node, from, to) {
    return this.history.disturbances.some((d) => this.#touches(d, node) && from <= d.to + this.options.presenceBoundMs && to >= d.from);
  }

  #delivered() {
    for (const p of this.history.publishes) {
      if (p.outcome !== 'ok' || p.delivered === undefined) continue;
      const all = this.members.get(p.channel) ?? [];
      const most = once(all.filter((m) => m.maybeFrom <= p.answered && m.maybeTo >= p.sent)).length;
      const least = all.filter((m) => m.surelyFrom <= p.sent && m.surelyTo >= p.answered && !this.#disturbed(m.session.node, p.sent, p.answered)).length;
      if (least === most) this.stats.deliveredExact++;
      else this.stats.deliveredBounded++;
      if (p.delivered < least || p.delivered > most)
        this.#found('wrong-delivered', { channel: p.channel, at: p.sent }, `${p.id}, sent ${Math.round(p.sent)}, answered ${Math.round(p.answered)}: delivered ${p.delivered}; subscribed were ${least}${most === least ? '' : ` to ${most}`}`);
    }
  }

  #presence() {
    for (const read of this.history.presence) {
      this.stats.presenceReads++;
      const where = { channel: read.channel, at: read.asked };
      const all = this.members.get(read.channel) ?? [];
      const could = all.filter((m) => m.maybeFrom <= read.answered && m.maybeTo >= read.asked);
      const maybe = once(could);
      const surely = all.filter((m) => m.surelyFrom + this.options.presenceLagMs <= read.asked && m.surelyTo >= read.answered && !this.#disturbed(m.session.node, read.asked, read.answered));
      const ids = read.members.map((m) => m.id);
      if (new Set(ids).size !== ids.length && read.complete) this.#found('presence-twice', where, `members ${ids}`);
      for (const m of surely) if (m.id && !ids.includes(m.id)) this.#found('lost-member', { ...where, client: m.session.client }, `${m.id} (${m.session.identity}) has been subscribed since ${Math.round(m.surelyFrom)} and is not in presence`);
      for (const member of read.members) {
        const called = all.filter((m) => m.id === member.id);
        const session = called.at(-1)?.session;
        if (session && !could.some((m) => called.includes(m))) this.#found('ghost', { ...where, client: session.client }, `${member.id} (${member.identity}), ended ${session.ended === null ? 'not' : Math.round(session.ended)}, is in presence read at ${Math.round(read.asked)}`);
        if (session && session.identity !== member.identity) this.#found('wrong-identity', where, JSON.stringify(member));
      }
      const tally = (list, key) => list.reduce((map, x) => map.set(key(x), (map.get(key(x)) ?? 0) + 1), new Map());
      const shown = tally(read.members, (m) => m.identity);
      const least = tally(surely, (m) => m.session.identity);
      const most = tally(maybe, (m) => m.session.identity);
      for (const [identity, n] of least) if ((shown.get(identity) ?? 0) < n) this.#found('lost-member', where, `${identity} has ${n} connections, presence shows ${shown.get(identity) ?? 0}`);
      for (const [identity, n] of shown) if (n > (most.get(identity) ?? 0)) this.#found('ghost', where, `presence shows ${n} of ${identity}, there are at most ${most.get(identity) ?? 0}`);
      if (read.complete && surely.length === maybe.length) {
        if (read.count !== maybe.length) this.#found('wrong-count', where, `count ${read.count}, there are ${maybe.length}`);
        if (read.identities !== undefined && read.identities !== most.size) this.#found('wrong-count', where, `identities ${read.identities}, there are ${most.size}`);
      }
    }
  }

  /** Joins and leaves of each watcher against the truth. After a gap of presence the watcher begins anew. */
  #presenceEvents() {
    for (const s of this.history.sessions)
      for (const sub of s.subscriptions ?? []) {
        if (!sub.presence) continue;
        const all = this.members.get(sub.channel) ?? [];
        const gaps = sub.gaps.filter((g) => g.reason === 'presence').map((g) => g.at);
        const ids = all.ids ??= by(all, (m) => m.id);
        const state = new Map();
        let g = 0;
        for (const e of sub.presenceEvents) {
          while (g < gaps.length && gaps[g] <= e.at) {
            state.clear();
            g++;
          }
          const { id, identity } = e.member;
          const where = { channel: sub.channel, client: s.client, at: e.at };
          e.type === 'join' ? this.stats.joins++ : this.stats.leaves++;
          if (state.get(id) === e.type) this.#found(`${e.type}-twice`, where, `${id} (${identity})`);
          state.set(id, e.type);
          const called = ids.get(id) ?? [];
          const session = called.length > 0;
          const mine = session ? called : all.filter((m) => !m.id && m.session.identity === identity);
          if (e.type === 'join') {
            if (!mine.some((m) => m.maybeFrom <= e.at && m.maybeTo >= e.at)) this.#found('ghost', where, `join of ${id} (${identity}), which is not there`);
          } else if (mine.some((m) => m.surelyFrom <= e.at - this.options.presenceLagMs && m.surelyTo >= e.at + this.options.clientLagMs && !this.#disturbed(m.session.node, e.at, e.at)) && (session || mine.filter((m) => m.maybeFrom <= e.at && m.maybeTo >= e.at - this.options.presenceBoundMs).length === 1))
            this.#found('false-leave', where, `leave of ${id} (${identity}), which is subscribed all the time`);
        }
        this.#toldOfAll(s, sub, all, gaps.length > 0 ? gaps[gaps.length - 1] : sub.since);
      }
  }

  /** What the watcher was told since `begin` makes the truth: each member's join and leave has come by its deadline. */
  #toldOfAll(s, sub, all, begin) {
    const end = Math.min(sub.until, sub.leaving ?? Infinity, s.closing ?? Infinity, s.ended === null ? Infinity : s.ended - this.options.clientLagMs);
    const deadline = (m, at) => {
      let latest = at + this.options.presenceLagMs;
      for (const d of this.history.disturbances)
        if ((this.#touches(d, s.node) || this.#touches(d, m.session.node)) && at <= d.to + this.options.presenceBoundMs && latest >= d.from) latest = Math.max(latest, d.to + this.options.presenceBoundMs + this.options.presenceLagMs);
      return latest;
    };
    const byId = by(sub.presenceEvents.filter((e) => e.at >= begin), (e) => e.member.id);
    for (const m of all) {
      const id = m.id;
      if (!id || m.session === s || m.maybeFrom > end || m.maybeTo < begin) continue;
      const events = byId.get(id) ?? [];
      const told = (type, until) => events.some((e) => e.type === type && e.at <= until);
      const where = { channel: sub.channel, client: s.client };
      const joined = deadline(m, m.surelyFrom);
      // An attempt to subscribe that failed may have made it a member before; that was told, and it stayed.
      const before = m.others.some((other) => !other.sub && other.maybeFrom < m.maybeFrom && other.maybeTo >= m.maybeFrom);
      if (m.maybeFrom > begin && m.surelyTo >= joined && joined < end && !told('join', joined) && !m.sub.member && !before)
        this.#found('missing-join', { ...where, at: m.surelyFrom }, `${id} (${m.session.identity}) has joined at ${Math.round(m.surelyFrom)}; not told by ${Math.round(joined)}`);
      const left = deadline(m, m.maybeTo);
      // Who has subscribed again is there; that it was away in between shows in the turns of join and leave, if at all.
      const back = m.others.some((other) => other.maybeFrom > m.maybeFrom && other.maybeFrom <= left);
      const believed = told('join', m.sub ? Infinity : m.maybeTo) || (m.surelyFrom < begin && m.surelyTo > begin);
      if (believed && left < end && !told('leave', left) && !m.inherited && !back)
        this.#found('missing-leave', { ...where, at: m.surelyTo }, `${id} (${m.session.identity}) has left by ${Math.round(m.maybeTo)}; not told by ${Math.round(left)}`);
    }
  }

  /** Between the end of a member's connection and the answer to the one that goes on as it, nobody is told of it. */
  #handovers() {
    for (const [channel, all] of this.members)
      for (const heir of all) {
        if (!heir.sub?.member) continue;
        const where = { channel, client: heir.session.client, at: heir.surelyFrom };
        const { before } = heir;
        if (before?.id !== heir.id) {
          this.#found('wrong-member', where, `went on as ${heir.id}, which it was not`);
          continue;
        }
        this.stats.handovers++;
        for (const s of this.history.sessions)
          for (const sub of s.subscriptions ?? [])
            for (const e of sub.channel === channel ? sub.presenceEvents : [])
              if (e.member.id === heir.id && e.at > before.surelyTo && e.at < heir.surelyFrom && before.surelyFrom + this.options.presenceLagMs < before.surelyTo)
                this.#found('flicker', { channel, client: s.client, at: e.at }, `${e.type} of ${heir.id} (${heir.session.identity}), which was handed over`);
      }
  }

  /** Identities that must not have been seen absent: no watcher counts one down to none, no read lacks one. */
  #steadyIdentities() {
    for (const { identities, from, to, channels } of this.options.steady) {
      const wanted = new Set(identities);
      for (const s of this.history.sessions)
        for (const sub of s.subscriptions ?? []) {
          if (!sub.presence || (channels && !channels.includes(sub.channel))) continue;
          const there = new Map(); // identity -> ids that joined in this subscription, or were there before (unknown: one)
          for (const e of sub.presenceEvents) {
            const { id, identity } = e.member;
            const ids = there.get(identity) ?? there.set(identity, new Set()).get(identity);
            if (e.type === 'join') ids.add(id);
            else ids.delete(id);
            if (e.at >= from && e.at <= to && wanted.has(identity) && identity !== s.identity) {
              if (e.type === 'leave' && ids.size === 0) this.#found('flicker', { channel: sub.channel, client: s.client, at: e.at }, `${identity} left with ${id}, with no other connection joined`);
            }
          }
        }
      for (const read of this.history.presence) {
        if (read.asked < from || read.answered > to || (channels && !channels.includes(read.channel))) continue;
        const shown = new Set(read.members.map((m) => m.identity));
        for (const identity of identities) if (this.#subscribesTo(identity, read.channel) && !shown.has(identity)) this.#found('flicker', { channel: read.channel, at: read.asked }, `${identity} is absent in a presence read`);
      }
    }
  }

  #subscribesTo(identity, channel) {
    return (this.members.get(channel) ?? []).some((m) => m.session.identity === identity);
  }

  #served() {
    for (const { client, channels } of this.options.served) {
      const mine = this.history.sessions.filter((s) => s.client === client);
      const s = mine[mine.length - 1];
      if (!s || s.opened === null || s.ended !== null) {
        this.#found('not-served', { client }, `no open connection at the end; the last one: ${JSON.stringify(s && { opened: s.opened, ended: s.ended, end: s.end })}`);
        continue;
      }
      for (const channel of channels) {
        const marker = this.options.markers[channel];
        const got = mine.some((x) => (x.subscriptions ?? []).some((sub) => sub.channel === channel && sub.seen.has(marker)));
        if (marker && !got) this.#found('not-served', { client, channel }, `the last message ${marker} at ${show(this.places.get(marker))} has not come`);
      }
    }
  }
}
