// The checker itself: a history without a fault passes, and each kind of violation is found when one is put in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from './realtime_checker.mjs';

const kEnd = 100_000;
const message = (at, offset, id, channel = 'c') => ({ at, in: { type: 'message', channel, offset, payload: { id } } });
const subscribe = (at, more = {}) => ({ at, out: { type: 'subscribe', id: 1, channel: 'c', ...more } });
const subscribed = (at, offset = 0, more = {}) => ({ at, in: { type: 'subscribed', id: 1, channel: 'c', epoch: 'e', offset, ...more } });
const session = (client, log, more = {}) => ({ client, kind: 'v1', identity: client, node: 0, started: 10, opened: 20, closing: null, ended: null, end: null, connection: `id-${client}`, log, ...more });
const publish = (n, more = {}) => ({ id: `m${n}`, channel: 'c', publisher: 'p', connection: 'p/1', seq: n, sent: 10_000 * n, answered: 10_000 * n + 5, outcome: 'ok', epoch: 'e', offset: n, delivered: 4, ...more });
const at = (n) => 10_000 * n + 3;
const all = (channel = 'c') => [1, 2, 3].map((n) => message(at(n), n, `m${n}`, channel));

/** Two v1 clients (one watches presence), one of the default frames, one sse; three messages; a presence read. */
function good() {
  return {
    publishes: [1, 2, 3].map((n) => publish(n)),
    sessions: [
      session('a', [subscribe(22), subscribed(25), ...all()]),
      session('b', [subscribe(30, { presence: true }), subscribed(40), { at: 45, in: { type: 'join', channel: 'c', member: { id: 'id-b', identity: 'b' } } }, ...all()]),
      session('d', all().map((e) => ({ at: e.at, in: { type: 'message', channel: 'c', payload: e.in.payload } })), { kind: 'plain', channels: ['c'], connection: undefined, connectionKey: 'd/1' }),
      session('s', [subscribed(40), ...all()], { kind: 'sse', channels: ['c'], connection: undefined }),
    ],
    presence: [{ channel: 'c', asked: 50_000, answered: 50_010, count: 4, identities: 4, complete: true, members: [{ id: 'id-a', identity: 'a' }, { id: 'id-b', identity: 'b' }, { id: 'x', identity: 'd' }, { id: 'y', identity: 's' }] }],
    disturbances: [],
    ended: kEnd,
  };
}
const kinds = (history, options) => [...new Set(check(history, options).violations.map((v) => v.kind))].sort();
const [a, b, d] = [0, 1, 2];
const served = { served: ['a', 'b', 'd', 's'].map((client) => ({ client, channels: ['c'] })), markers: { c: 'm3' } };

test('a history without a fault has no violation, and was really looked at', () => {
  const { violations, stats } = check(good(), served);
  assert.deepEqual(violations, []);
  assert.deepEqual([stats.received, stats.plainReceived, stats.deliveredExact, stats.deliveredBounded, stats.presenceReads, stats.joins], [9, 3, 3, 0, 1, 1]);
});

/** Ends client a's connection at 15,000 and gives it another one. */
function comesBack(h, log, resumed) {
  const first = h.sessions[a];
  first.log = first.log.filter((e) => e.at < 15_000);
  Object.assign(first, { ended: 15_000, end: { code: 1012, reason: '' } });
  h.sessions.push(session('a', [subscribe(15_100, resumed), ...log], { started: 15_050, opened: 15_060, connection: 'id-a2' }));
  h.presence[0].members[0].id = 'id-a2';
  h.sessions[b].log.push({ at: 15_200, in: { type: 'join', channel: 'c', member: { id: 'id-a2', identity: 'a' } } }, { at: 15_010, in: { type: 'leave', channel: 'c', member: { id: 'id-a', identity: 'a' } } });
  h.sessions[b].log.sort((x, y) => x.at - y.at);
}
const position = (offset, epoch = 'e') => ({ position: { epoch, offset } });

test('a client that comes back and gets what it missed is no violation', () => {
  const h = good();
  comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1));
  assert.deepEqual(check(h, { ...served, mustRecover: () => true }).violations, []);
});

/** As comesBack, but it goes on as the member that it was, and nobody is told. */
function isHandedOver(h, member = 'id-a') {
  comesBack(h, [subscribed(15_150, 1, { recovered: true, member }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1));
  h.presence[0].members[0].id = member;
  h.sessions[b].log = h.sessions[b].log.filter((e) => !e.in?.member || e.in.member.id === 'id-b');
}

test('a member that is handed over is no violation, and needs no join and no leave', () => {
  const h = good();
  isHandedOver(h);
  const { violations, stats } = check(h, served);
  assert.deepEqual(violations, []);
  assert.equal(stats.handovers, 1);
});

/** A fifth client, whose subscription fails at 20,000. */
function fails(h, code, shownAt) {
  h.sessions.push(session('f', [subscribe(19_990, { id: 7 }), { at: 20_000, in: { type: 'error', id: 7, code, error: '' } }]));
  Object.assign(h.presence[0], { asked: shownAt, answered: shownAt + 10, count: 5, identities: 5 });
  h.presence[0].members.push({ id: 'id-f', identity: 'f' });
}

test('a subscription that failed may have been present until then, and for the bound when nobody knows how it ended', () => {
  const after = (code, shownAt) => {
    const h = good();
    fails(h, code, shownAt);
    return kinds(h);
  };
  assert.deepEqual(after('unavailable', 20_001), []);
  assert.deepEqual(after('outcome_unknown', 31_000), []);
  assert.deepEqual(after('unavailable', 23_000), ['ghost', 'wrong-count']);
  assert.deepEqual(after('outcome_unknown', 33_000), ['ghost', 'wrong-count']);
});

const change = (index, n, f) => (h) => f(h.sessions[index].log[n], h.sessions[index].log, h);
const kCases = {
  'two-orders': [(h) => { h.sessions[a].log[2].in.payload.id = 'm2'; h.sessions[a].log[3].in.payload.id = 'm1'; }, ['published-twice', 'two-orders']],
  'a message comes twice': [change(a, 4, (e, log) => log.splice(4, 0, message(at(2) + 1, 2, 'm2'))), ['duplicate']],
  'a message comes twice at two places': [(h) => { h.publishes.push(publish(4, { id: 'm4', sent: 40_000, answered: 40_005 })); h.sessions[a].log.push(message(40_003, 4, 'm3')); }, ['duplicate', 'never-arrived', 'published-twice', 'two-orders']],
  'a message is left out': [change(a, 3, (e, log) => log.splice(3, 1)), ['never-arrived', 'silent-gap']],
  'the last message never comes': [change(a, 4, (e, log) => log.splice(4, 1)), ['never-arrived', 'not-served']],
  'offsets go down': [change(a, 3, (e, log) => { [log[3], log[4]] = [log[4], log[3]]; }), ['out-of-order', 'silent-gap']],
  'nobody has published it': [change(a, 2, (e) => { e.in.payload.id = 'other'; }), ['never-arrived', 'unknown-message']],
  'a message on another channel': [(h) => { h.publishes[0].channel = 'x'; h.publishes[0].delivered = 0; }, ['wrong-channel']],
  'a gap that says so is none': [change(a, 3, (e, log) => { log[3] = { at: 20_003, in: { type: 'gap', channel: 'c', epoch: 'e', offset: 2, lost: 1, reason: 'slow' } }; }), []],
  'a gap that counts wrongly': [change(a, 3, (e, log) => { log[3] = { at: 20_003, in: { type: 'gap', channel: 'c', epoch: 'e', offset: 2, lost: 2, reason: 'slow' } }; }), ['bad-gap']],
  'a gap of events that nobody asked for': [change(a, 3, (e, log) => log.splice(3, 0, { at: 15_000, in: { type: 'gap', channel: 'c', reason: 'presence' } })), ['presence-event-not-asked']],
  'a gap of events that hides messages': [change(b, 4, (e, log) => { log[4] = { at: 20_003, in: { type: 'gap', channel: 'c', epoch: 'e', offset: 2, reason: 'presence' } }; }), ['bad-gap', 'never-arrived', 'silent-gap']],
  'default frames: left out': [change(d, 1, (e, log) => log.splice(1, 1)), ['never-arrived', 'silent-gap']],
  'default frames: other order': [change(d, 1, (e, log) => { [log[1], log[2]] = [log[2], log[1]]; }), ['out-of-order', 'silent-gap']],
  'default frames: twice': [change(d, 1, (e, log) => log.splice(1, 0, log[0])), ['duplicate']],
  'default frames: left out at a new epoch': [(h) => {
    for (const p of h.publishes.slice(2)) Object.assign(p, { epoch: 'f', offset: 2 });
    h.publishes.push(publish(0, { id: 'm0', connection: undefined, sent: 25_000, answered: 25_005, epoch: 'f', offset: 1 }));
    for (const s of h.sessions) if (s.kind !== 'plain') s.log.splice(-1, 1, { at: 24_000, in: { type: 'gap', channel: 'c', epoch: 'f', offset: 0, reason: 'broker' } }, message(25_003, 1, 'm0'), message(at(3), 2, 'm3'));
  }, ['never-arrived', 'silent-gap']],
  'an acknowledged message stands before an earlier one': [(h) => { h.publishes[1].sent = 5_000; h.publishes[1].answered = 5_005; }, ['out-of-order']],
  'pipelined messages change places': [(h) => { h.publishes[0].seq = 2; h.publishes[1].seq = 1; }, ['out-of-order']],
  'an epoch comes back': [(h) => {
    h.publishes.push(publish(4, { id: 'm4', connection: undefined, sent: 24_000, answered: 24_005, epoch: 'f', offset: 1, delivered: 4 }));
    for (const s of h.sessions) if (s.kind !== 'plain') s.log.splice(-1, 1, { at: 24_001, in: { type: 'gap', channel: 'c', epoch: 'f', offset: 0, reason: 'broker' } }, message(24_003, 1, 'm4'), { at: 24_004, in: { type: 'gap', channel: 'c', epoch: 'e', offset: 2, reason: 'broker' } }, message(at(3), 3, 'm3'));
    h.sessions[d].log.splice(2, 0, { at: 24_003, in: { type: 'message', channel: 'c', payload: { id: 'm4' } } });
  }, ['epoch-came-back', 'silent-gap']],
  'a refused message was published': [(h) => { h.publishes[1].outcome = 'refused'; h.publishes[1].code = 'unavailable'; }, ['refused-but-published']],
  'the answer names another place': [(h) => { h.publishes[1].offset = 7; }, ['out-of-order', 'published-twice', 'silent-gap']],
  'delivered counts too few': [(h) => { h.publishes[1].delivered = 3; }, ['wrong-delivered']],
  'delivered counts too many': [(h) => { h.publishes[1].delivered = 5; }, ['wrong-delivered']],
  'recovered, but from elsewhere': [(h) => comesBack(h, [subscribed(15_150, 2, { recovered: true }), message(at(3), 3, 'm3')], position(1)), ['never-arrived', 'recovered-from-elsewhere']],
  'recovered, and then not all': [(h) => comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(3), 3, 'm3')], position(1)), ['never-arrived', 'silent-gap']],
  'recovered, and then something twice': [(h) => comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(15_160, 1, 'm1'), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)), ['out-of-order']],
  'not recovered, without need': [(h) => comesBack(h, [subscribed(15_150, 1, { recovered: false }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)), ['not-recovered'], { mustRecover: () => true }],
  'not recovered, and then old ones': [(h) => comesBack(h, [subscribed(15_150, 0, { recovered: false }), message(15_160, 1, 'm1'), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)), ['stale-position', 'went-back']],
  'no word on recovery': [(h) => comesBack(h, [subscribed(15_150, 1), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)), ['no-word-on-recovery']],
  'a member is missing': [(h) => { h.presence[0].members.splice(0, 1); h.presence[0].count = h.presence[0].identities = 3; }, ['lost-member', 'wrong-count']],
  'a default-frames member is missing': [(h) => { h.presence[0].members.splice(2, 1); h.presence[0].count = h.presence[0].identities = 3; }, ['lost-member', 'wrong-count']],
  'a member that never was': [(h) => { h.presence[0].members.push({ id: 'z', identity: 'z' }); h.presence[0].count = h.presence[0].identities = 5; }, ['ghost', 'wrong-count']],
  'a member that has gone': [(h) => { comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)); h.presence[0].members.push({ id: 'id-a', identity: 'a' }); h.presence[0].count = 5; }, ['ghost', 'wrong-count']],
  'a member twice': [(h) => { h.presence[0].members.push({ id: 'id-b', identity: 'b' }); }, ['ghost', 'presence-twice']],
  'count is wrong': [(h) => { h.presence[0].count = 7; }, ['wrong-count']],
  'a join twice': [change(b, 2, (e, log) => log.splice(3, 0, e)), ['join-twice']],
  'a join again behind a gap is none': [change(b, 2, (e, log) => log.splice(3, 0, { at: 5_000, in: { type: 'gap', channel: 'c', reason: 'presence' } }, { ...e, at: 5_001 })), []],
  'a join again before the gap': [change(b, 2, (e, log) => log.splice(3, 0, { ...e, at: 5_000 }, { at: 5_001, in: { type: 'gap', channel: 'c', reason: 'presence' } })), ['join-twice']],
  'a join again behind a gap of messages alone': [change(b, 2, (e, log) => log.splice(3, 0, { at: 5_000, in: { type: 'gap', channel: 'c', epoch: 'e', offset: 0, lost: 0, reason: 'broker' } }, { ...e, at: 5_001 })), ['join-twice']],
  'a leave of one that is there': [change(b, 3, (e, log) => log.splice(4, 0, { at: 12_000, in: { type: 'leave', channel: 'c', member: { id: 'id-a', identity: 'a' } } })), ['false-leave']],
  'a join that nobody was told': [(h) => { comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)); h.sessions[b].log = h.sessions[b].log.filter((e) => e.in?.member?.id !== 'id-a2'); }, ['missing-join']],
  'a leave that nobody was told': [(h) => { comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)); h.sessions[b].log = h.sessions[b].log.filter((e) => e.in?.type !== 'leave'); }, ['missing-leave']],
  'handed over, but told': [(h) => { isHandedOver(h); h.sessions[b].log.splice(4, 0, { at: 15_050, in: { type: 'leave', channel: 'c', member: { id: 'id-a', identity: 'a' } } }); }, ['flicker']],
  'goes on as a member that it never was': [(h) => isHandedOver(h, 'id-x'), ['missing-leave', 'wrong-member']],
  'nobody is told, but nobody was handed over': [(h) => { isHandedOver(h); delete h.sessions[h.sessions.length - 1].log[1].in.member; h.presence[0].members[0].id = 'id-a2'; }, ['missing-join', 'missing-leave']],
  'a flicker': [(h) => comesBack(h, [subscribed(15_150, 1, { recovered: true }), message(at(2), 2, 'm2'), message(at(3), 3, 'm3')], position(1)), ['flicker'], { steady: [{ identities: ['a'], from: 0, to: kEnd }] }],
  'presence events that nobody asked for': [change(a, 2, (e, log) => log.splice(2, 0, { at: 50, in: { type: 'join', channel: 'c', member: { id: 'id-b', identity: 'b' } } })), ['presence-event-not-asked']],
  'messages of a channel that it is not subscribed to': [change(a, 4, (e, log) => log.push(message(50_000, 1, 'm1', 'other'))), ['event-without-subscription']],
  'a client is not served again': [(h) => { Object.assign(h.sessions[a], { ended: 99_000, end: { code: 1006 } }); }, ['not-served']],
};

for (const [name, [harm, expected, options = {}]] of Object.entries(kCases))
  test(`found: ${name}`, () => {
    const h = good();
    harm(h);
    assert.deepEqual(kinds(h, { ...served, ...options }), [...expected].sort(), JSON.stringify(check(h, { ...served, ...options }).violations));
  });

test('a killed node: its members may be shown within the bound, and no longer', () => {
  const dies = (asked) => {
    const h = good();
    Object.assign(h.sessions[a], { node: 1, ended: 30_500, end: { code: 1006 } });
    h.disturbances.push({ from: 30_490, to: 30_490, nodes: [1] });
    Object.assign(h.presence[0], { asked, answered: asked + 10 });
    h.sessions[b].log.push({ at: 39_000, in: { type: 'leave', channel: 'c', member: { id: 'id-a', identity: 'a' } } });
    return kinds(h);
  };
  assert.deepEqual(dies(40_000), []);
  assert.deepEqual(dies(43_000), ['ghost', 'wrong-count']);
});
