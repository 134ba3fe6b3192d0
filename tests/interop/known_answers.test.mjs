// The protocol page's known answers, by the implementation in raystream/, which was written from that page alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from './raystream/client.mjs';
import * as crypto from './raystream/crypto.mjs';
import { Direction, Type } from './raystream/frames.mjs';
import { blocksOfPage, kClientPrivate, kExpiresAt, kSeed, kServerPrivate, kSessionId } from './raystream/known_answers.mjs';
import { encode } from './raystream/messages.mjs';
import { ServerConnection } from './raystream/server.mjs';

const [first, second] = blocksOfPage();
const pins = new Map([['test', crypto.ed25519Public(kSeed)]]);
const timestamp = kExpiresAt;

// A handshake with fixed keys in which both ends write into lists.
async function handshake({ client, server, sessions }) {
  const written = { client: [], server: [] };
  const to = (list) => ({ write: (bytes) => list.push(Buffer.from(bytes)), end() {} });
  const s = new ServerConnection(to(written.server), { keys: [{ id: 'test', seed: kSeed }], sessions, ...server });
  const c = new Client(to(written.client), { pins, keyId: 'test', ...client });
  c.start();
  s.receive(written.client[0]);
  c.receive(written.server[0]);
  await c.ready;
  return { c, s, written };
}

const equal = (found, expected, what) => assert.equal(found.toString('hex'), expected.join(''), what);

test('the first session of the page', async () => {
  const { c, s, written } = await handshake({
    sessions: new Map(), client: { privateKey: kClientPrivate },
    server: { fixed: { privateKey: kServerPrivate, sessionId: kSessionId, expiresAt: kExpiresAt, serverTime: timestamp + 1 } },
  });
  equal(written.client[0], first['HANDSHAKE_INIT'], 'INIT');
  equal(written.server[0], first['HANDSHAKE_RESPONSE'], 'RESPONSE');
  for (const { schedule } of [c, s]) {
    equal(schedule.h, first['H'], 'H');
    equal(schedule.sessionKey, first['session_key'], 'session_key');
    equal(Buffer.concat([schedule.c2s, crypto.trafficKey(schedule.c2s)]), first['c2s secret, and its key in epoch 0'], 'c2s');
    equal(Buffer.concat([schedule.s2c, crypto.trafficKey(schedule.s2c)]), first['s2c secret, and its key in epoch 0'], 's2c');
    equal(schedule.resumption, first['resumption secret'], 'resumption');
  }
  const nextC2s = crypto.nextSecret(c.schedule.c2s);
  equal(nextC2s, first['c2s secret of epoch 1']);

  c.heartbeat(timestamp);
  equal(written.client[1], first["the client's first frame: HEARTBEAT, timestamp 1735689600000"]);
  s.receive(written.client[1]);
  equal(written.server[1], first["the server's first frame: HEARTBEAT, the same timestamp, server_time 1735689600001"]);

  const epoch1 = new Direction('chacha20-poly1305', nextC2s);
  epoch1.epoch = 1n;
  equal(epoch1.seal(Type.HEARTBEAT, encode('Heartbeat', { timestamp })), first['the same HEARTBEAT as the first frame of epoch 1']);
});

test('the resumed session of the page', async () => {
  const secret = Buffer.from(first['resumption secret'].join(''), 'hex');
  const { c, s, written } = await handshake({
    sessions: new Map([[kSessionId, { generation: 1, secrets: [secret] }]]),
    client: { privateKey: kServerPrivate, ciphers: ['aes-256-gcm'], resume: { sessionId: kSessionId, secret } },
    server: { fixed: { privateKey: kClientPrivate, expiresAt: kExpiresAt } },
  });
  assert.equal(c.resumed, true);
  equal(written.client[0], second['HANDSHAKE_INIT'], 'INIT');
  assert.ok(written.client[0].toString('hex').includes(second['binder in it'].join('')));
  equal(written.server[0], second['HANDSHAKE_RESPONSE'], 'RESPONSE');
  for (const { schedule } of [c, s]) {
    equal(schedule.h, second['H'], 'H');
    equal(schedule.sessionKey, second['session_key'], 'session_key');
    equal(schedule.resumption, second['resumption secret'], 'resumption');
  }
  c.sendResume().catch(() => {});
  equal(written.client[1], second["the client's first frame: RESUME without subscriptions"]);
});

test('every known answer of the page has been compared', () => {
  assert.equal(Object.keys(first).length, 11);
  assert.equal(Object.keys(second).length, 7);
});
