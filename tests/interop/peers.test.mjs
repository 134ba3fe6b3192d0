// raystream between two implementations: libs/raystream, and raystream/ in JavaScript, which was written from the protocol
// page alone. Each is client and server of the other.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ciphers, pins, runPeerClient, startJsServer, startPeerServer } from './peers.mjs';
import * as crypto from './raystream/crypto.mjs';
import { Code, header, kAttached, kFramesPerEpoch, plainFrame, Type } from './raystream/frames.mjs';
import { encode } from './raystream/messages.mjs';

// Each frame of the library is held to the page by the other side's checks; what is compared here is what they exchange.
let peer;
before(async () => (peer = await startPeerServer()));
after(() => peer.stop());

const names = Object.fromEntries(Object.entries(Code).map(([name, code]) => [code, name]));

async function attached(options) {
  const client = peer.connect(options);
  const ready = await client.ready;
  await client.attach('test-key');
  return { client, ready };
}

async function closed(client) {
  client.close();
  await client.ended;
}

// `count` calls, 64 at a time; every answer is compared.
async function echoes(client, count, size = 8) {
  for (let at = 0; at < count; ) {
    const batch = Array.from({ length: Math.min(64, count - at) }, (_, i) => Buffer.alloc(size, (at + i) & 255));
    const answers = await Promise.all(batch.map((args) => client.call('echo', args)));
    answers.forEach(({ status, result }, i) => {
      assert.equal(status, 200);
      assert.ok(result.equals(batch[i]));
    });
    at += batch.length;
  }
}

// ---- JavaScript calls, libs/raystream serves ----

for (const cipher of ciphers) {
  test(`${cipher}: calls, events, a change of keys in both directions and a resumption, served by libs/raystream`, async () => {
    const { client, ready } = await attached({ ciphers: [cipher] });
    assert.equal(ready.cipher, cipher);
    assert.equal(ready.resumed, false);
    const subscribed = await client.subscribe(2, 'news');
    await echoes(client, kFramesPerEpoch + 300);
    assert.equal(client.out.epoch, 1n);
    assert.equal(client.in.epoch, 1n);
    await client.call('emit', Buffer.from('seen'));
    assert.equal(client.events.at(-1).data.toString(), 'seen');
    assert.equal(client.events.at(-1).position.readBigUInt64BE(), subscribed.position.readBigUInt64BE() + 1n);

    client.dropped();
    const others = await attached({ ciphers: [cipher] });
    await others.client.call('emit', Buffer.from('missed'));
    await closed(others.client);
    const again = peer.connect({ ciphers: [cipher], resume: client.resume });
    assert.deepEqual((({ sessionId, resumed }) => ({ sessionId, resumed }))(await again.ready), { sessionId: ready.sessionId, resumed: true });
    const { ended } = await again.sendResume([{ kind: 2, name: 'news', position: client.events.at(-1).position }]);
    assert.deepEqual(ended, []);
    await echoes(again, kFramesPerEpoch + 300);
    assert.deepEqual(again.events.map((e) => e.data.toString()), ['missed']);
    assert.equal(again.out.epoch, 1n);
    assert.equal(again.in.epoch, 1n);
    await closed(again);
  });

  test(`${cipher}: frames of 1 MiB and calls of several frames after attach, served by libs/raystream`, async () => {
    const { client } = await attached({ ciphers: [cipher] });
    const sizes = [];
    const write = client.transport.write;
    client.transport.write = (bytes) => {
      sizes.push(bytes.length - 44);
      return write(bytes);
    };
    await echoes(client, 4, kAttached + 17);
    assert.equal(sizes.filter((size) => size === kAttached).length, 4);
    await echoes(client, 1, 3 * kAttached + 17);
    await closed(client);
  });
}

test('before attach: public calls, an error for others, parts of 16 KiB', async () => {
  const client = peer.connect();
  await client.ready;
  assert.equal((await client.call('public.echo', Buffer.alloc(50_000, 7))).result.length, 50_000);
  await assert.rejects(client.call('echo'), { error_code: Code.UNAUTHORIZED, status: 401n });
  await assert.rejects(client.attach('wrong-key'), { error_code: Code.UNAUTHORIZED });
  await client.attach('test-key');
  await assert.rejects(client.call('nothing'), { error_code: Code.NOT_FOUND });
  assert.equal((await client.call('metadata', Buffer.from('traceparent'), { traceparent: '00-aa-bb-01', egroup: 'e' })).result.toString(), '00-aa-bb-01');
  client.heartbeat(123456789);
  await echoes(client, 1);
  assert.equal(client.heartbeats[0].timestamp, 123456789n);
  assert.ok(client.heartbeats[0].server_time > 0n);
  await closed(client);
});

test('a session that is unknown, or whose binder does not fit, is a new one', async () => {
  const { client } = await attached();
  const sessionId = client.sessionId;
  client.dropped();
  for (const resume of [{ sessionId, secret: Buffer.alloc(32, 1) }, { sessionId: '01900000-0000-7000-8000-000000000000', secret: Buffer.alloc(32, 1) }]) {
    const other = peer.connect({ resume });
    const ready = await other.ready;
    assert.equal(ready.resumed, false);
    assert.notEqual(ready.sessionId, sessionId);
    await closed(other);
  }
  // The attempts have burnt nothing.
  const again = peer.connect({ resume: client.resume });
  assert.equal((await again.ready).resumed, true);
  await again.sendResume();
  await closed(again);
});

test('a lost answer to RESUME costs nothing: the old secret still resumes, and the new one takes over after the next frame', async () => {
  const { client } = await attached();
  const old = client.resume;
  client.dropped();
  const lost = peer.connect({ resume: old });
  await lost.ready;
  await lost.sendResume();
  const fresh = lost.resume;
  lost.dropped();
  const second = peer.connect({ resume: old });
  assert.equal((await second.ready).resumed, true);
  await second.sendResume();
  second.heartbeat();
  await echoes(second, 1);
  const last = second.resume;
  second.dropped();
  for (const [secret, resumed] of [[old, false], [fresh, false], [last, true]]) {
    const third = peer.connect({ resume: secret });
    assert.equal((await third.ready).resumed, resumed);
    third.dropped();
  }
});

// ---- What libs/raystream refuses, and with which code ----

const flip = (at, mask = 1) => (frame) => {
  const changed = Buffer.from(frame);
  changed[at < 0 ? changed.length + at : at] ^= mask;
  return changed;
};

// The field, what is done to a whole frame, the code of the page's table.
const changes = [
  ['version', flip(0), Code.INVALID_REQUEST],
  ['type, to one that is none', flip(1, 0x80), Code.INVALID_REQUEST],
  ['type, to one that may not come', (f) => Buffer.concat([Buffer.of(1, Type.EVENT), f.subarray(2)]), Code.INVALID_REQUEST],
  ['type, to another one that may come', (f) => Buffer.concat([Buffer.of(1, Type.HEARTBEAT), f.subarray(2)]), Code.DECRYPTION_FAILED],
  ['flags, first byte', flip(2), Code.INVALID_REQUEST],
  ['flags, second byte', flip(3), Code.INVALID_REQUEST],
  ['sequence', flip(7), Code.INVALID_NONCE],
  ['sequence, first byte', flip(4), Code.INVALID_NONCE],
  ['length, above the limit', flip(8), Code.INVALID_REQUEST],
  ['length, smaller', (f) => Object.assign(Buffer.from(f), { 11: f[11] - 1 }), Code.DECRYPTION_FAILED],
  ['reserved byte 1', flip(12), Code.INVALID_REQUEST],
  ['reserved byte 2', flip(13), Code.INVALID_REQUEST],
  ['reserved byte 3', flip(14), Code.INVALID_REQUEST],
  ['reserved byte 4', flip(15), Code.INVALID_REQUEST],
  ['nonce, epoch', flip(23), Code.INVALID_NONCE],
  ['nonce, sequence', flip(27), Code.INVALID_NONCE],
  ['payload', flip(30), Code.DECRYPTION_FAILED],
  ['tag', flip(-1), Code.DECRYPTION_FAILED],
];

for (const [field, change, code] of changes) {
  for (const cipher of ciphers) {
    test(`${cipher}: a changed ${field} is ${names[code]} to libs/raystream`, async () => {
      const { client } = await attached({ ciphers: [cipher] });
      const frame = client.out.seal(Type.CALL, encode('RpcCall', { call_id: 9, method: 'echo', args: Buffer.alloc(32) }));
      client.transport.write(change(frame));
      const why = await client.ended;
      assert.deepEqual({ code: names[why.code], by: why.by }, { code: names[code], by: 'peer' });
    });
  }
}

test('a repeated, a skipped and a reflected frame, and one that is no message, are refused by libs/raystream', async () => {
  const call = (client) => client.out.seal(Type.CALL, encode('RpcCall', { call_id: 9, method: 'echo' }));
  const cases = [
    ['repeated', (client) => { const f = call(client); return Buffer.concat([f, f]); }, Code.INVALID_NONCE],
    ['skipped', (client) => { call(client); return call(client); }, Code.INVALID_NONCE],
    ['no message', (client) => client.out.seal(Type.CALL, Buffer.from([0x0a])), Code.INVALID_REQUEST],
    ['reflected', (client) => client.reflected, Code.DECRYPTION_FAILED],
  ];
  for (const [what, make, code] of cases) {
    const { client } = await attached();
    if (what === 'reflected') {
      // The server's next frame, made by who has its key, sent back to it: same sequence, the other direction's key.
      client.in.sequence = client.out.sequence;
      client.reflected = client.in.seal(Type.HEARTBEAT, encode('Heartbeat', { timestamp: 1 }));
      client.in.sequence = 2;
    }
    client.transport.write(make(client));
    const why = await client.ended;
    assert.equal(names[why.code], names[code], what);
  }
});

test('one byte more than 1 MiB is refused by libs/raystream by its header', async () => {
  const { client } = await attached();
  client.transport.write(header(Type.CALL, client.out.sequence, kAttached + 1));
  assert.equal((await client.ended).code, Code.INVALID_REQUEST);
});

test('SUBSCRIBE and large frames before attach are refused by libs/raystream', async () => {
  for (const frame of [(c) => c.out.seal(Type.SUBSCRIBE, encode('Subscribe', { call_id: 1, name: 'x', on: true })),
    (c) => c.out.seal(Type.CALL, encode('RpcCall', { call_id: 1, method: 'public.echo', args: Buffer.alloc(16384) })),
    (c) => c.out.seal(Type.RESUME, Buffer.alloc(0))]) {
    const client = peer.connect();
    await client.ready;
    client.transport.write(frame(client));
    assert.equal((await client.ended).code, Code.INVALID_REQUEST);
  }
});

test('offers that the page forbids are refused by a plain CLOSE with INVALID_REQUEST', async () => {
  const good = { version: 1, client_pub: crypto.x25519Public(crypto.newPrivate()), supported_ciphers: ciphers };
  const id = '01900000-0000-7000-8000-000000000000';
  const init = (offer, binder = Buffer.alloc(0)) =>
    plainFrame(Type.INIT, encode('HandshakeInit', { offer: encode('Offer', { ...good, ...offer }), binder }));
  const bad = {
    'another version': init({ version: 2 }),
    'a short key': init({ client_pub: Buffer.alloc(31, 9) }),
    'a key of low order': init({ client_pub: Buffer.alloc(32) }),
    'no cipher': init({ supported_ciphers: [] }),
    'only unknown ciphers': init({ supported_ciphers: ['rot13'] }),
    '17 ciphers': init({ supported_ciphers: Array(17).fill('aes-256-gcm') }),
    'a key id with a space': init({ server_key_id: 'a b' }),
    'a key id of 33': init({ server_key_id: 'a'.repeat(33) }),
    'a session id without a binder': init({ session_id: id }),
    'a binder without a session id': init({}, Buffer.alloc(32)),
    'a short binder': init({ session_id: id }, Buffer.alloc(31)),
    'a session id of version 4': init({ session_id: id.replace('-7', '-4') }, Buffer.alloc(32)),
    'a session id in capitals': init({ session_id: '01900000-0000-7000-8000-00000000000A' }, Buffer.alloc(32)),
    'a payload that is no message': plainFrame(Type.INIT, Buffer.from([0x0a])),
    'a tag that is not zero': flip(-1)(init({})),
    'another first frame': plainFrame(Type.HEARTBEAT, Buffer.alloc(0)),
    'a payload of more than 4 KiB': Buffer.concat([header(Type.INIT, 0, 4097)]),
  };
  for (const [what, bytes] of Object.entries(bad)) {
    const client = peer.connect();
    client.start = () => {
      client.state = 'init sent';
      client.transport.write(bytes);
    };
    const why = await client.ended;
    assert.deepEqual({ code: names[why.code], by: why.by }, { code: 'INVALID_REQUEST', by: 'peer' }, what);
  }
  for (const [what, bytes] of [['sequence', flip(7)(init({}))], ['nonce', flip(20)(init({}))]]) {
    const client = peer.connect();
    client.start = () => {
      client.state = 'init sent';
      client.transport.write(bytes);
    };
    assert.equal(names[(await client.ended).code], 'INVALID_NONCE', what);
  }
  // Unknown names are passed over, unknown fields are ignored, an unknown key id gets the first key.
  const fine = peer.connect({ ciphers: ['rot13', 'aes-256-gcm'], keyId: 'other' });
  assert.equal((await fine.ready).cipher, 'aes-256-gcm');
  await closed(fine);
});

// ---- libs/raystream calls, JavaScript serves ----

for (const cipher of ciphers) {
  test(`${cipher}: libs/raystream calls, changes keys, is given events and resumes with a server in JavaScript`, async () => {
    const server = await startJsServer({
      onConnection(connection, count) {
        // Events behind the subscription: 3 after the first half's attach, 3 while nobody is connected.
        const onSubscribe = connection.onSubscribe.bind(connection);
        connection.onSubscribe = (ask) => {
          onSubscribe(ask);
          for (let i = 0; i < 3; ++i) server.channels.publish('news', `event ${i}`);
        };
        if (count === 1) connection.ended.then(() => { for (let i = 0; i < 3; ++i) server.channels.publish('news', `missed ${i}`); });
      },
    });
    try {
      const { lines, code } = await runPeerClient(server.port, { cipher, calls: kFramesPerEpoch + 300, size: 8, resume: 1, subscribe: 'news', events: 3 });
      assert.deepEqual(lines, [
        `ready ${cipher}`, 'attached', `calls ${kFramesPerEpoch + 300}`, 'events 3',
        `ready ${cipher}`, 'resumed', `calls ${kFramesPerEpoch + 300}`, 'events 6', 'closed',
      ]);
      assert.equal(code, 0);
      const [first, second] = server.connections;
      assert.equal(first.in.epoch, 1n);
      assert.equal(first.out.epoch, 1n);
      assert.equal(second.in.epoch, 1n);
      assert.equal(second.out.epoch, 1n);
      assert.deepEqual(await second.ended, { code: 0, reason: '', by: 'peer' });
    } finally {
      server.close();
    }
  });

  test(`${cipher}: libs/raystream sends and reads frames of 1 MiB with a server in JavaScript`, async () => {
    const server = await startJsServer({
      onConnection(connection) {
        connection.sizes = [];
        const write = connection.transport.write;
        connection.transport.write = (bytes) => {
          connection.sizes.push(bytes.length - 44);
          return write(bytes);
        };
      },
    });
    try {
      const { lines } = await runPeerClient(server.port, { cipher, calls: 5, size: 3 * kAttached });
      assert.deepEqual(lines, [`ready ${cipher}`, 'attached', 'calls 5', 'closed']);
      const { sizes } = server.connections[0];
      assert.equal(sizes.filter((size) => size === kAttached).length, 15);
    } finally {
      server.close();
    }
  });

  for (const [field, change, code] of changes) {
    // Of the server's frames EVENT may come, and RPC_CALL may not.
    const changed = field === 'type, to one that may not come' ? (f) => Buffer.concat([Buffer.of(1, Type.CALL), f.subarray(2)]) : change;
    test(`${cipher}: a changed ${field} from the server is ${names[code]} to libs/raystream as a client`, async () => {
      let ended;
      const server = await startJsServer({
        onConnection(connection) {
          ended = connection.ended;
          const write = connection.transport.write;
          connection.transport.write = (bytes) => write(bytes[1] === Type.RPC_RESPONSE && bytes.readUInt32BE(4) === 2 ? changed(bytes) : bytes);
        },
      });
      try {
        const { lines, code: exit } = await runPeerClient(server.port, { cipher, calls: 3, size: 32 });
        assert.deepEqual(lines, [`ready ${cipher}`, 'attached', `ended us ${names[code]}`]);
        assert.equal(exit, 1);
        // It has said so, encrypted.
        const why = await ended;
        assert.deepEqual({ code: names[why.code], by: why.by }, { code: names[code], by: 'peer' });
      } finally {
        server.close();
      }
    });
  }
}

test('a wrong RESPONSE ends libs/raystream as a client without a word', async () => {
  const other = Buffer.alloc(32, 5);
  const cases = {
    'a key that is not pinned': { pin: crypto.ed25519Public(other) },
    'a changed tag': { breakResponse: flip(-1) },
    'a changed signature': { breakResponse: flip(-20) },
    'a changed header': { breakResponse: flip(12) },
    'another version': { hello: { version: 2 } },
    'a cipher that was not offered': { hello: { selected_cipher: 'aes-128-gcm' } },
    'a session id of another form': { hello: { session_id: '01900000-0000-4000-8000-000000000000' } },
    'resumed, without being asked': { hello: { resumed: true } },
    'a short public key': { hello: { server_pub: Buffer.alloc(31, 9) } },
    'a key of low order': { hello: { server_pub: Buffer.alloc(32) } },
    'a key id that is unknown': { hello: { server_key_id: 'other' } },
  };
  for (const [what, { pin, ...fixed }] of Object.entries(cases)) {
    const server = await startJsServer({ fixed });
    try {
      const { lines, code } = await runPeerClient(server.port, { calls: 1 }, pin ?? pins.get('test'));
      assert.equal(lines.length, 1, what);
      assert.match(lines[0], /^ended us /, what);
      assert.equal(code, 1, what);
      assert.equal((await server.connections[0].ended).by, 'drop', what);
    } finally {
      server.close();
    }
  }
});

test('a plain CLOSE in place of RESPONSE tells libs/raystream why', async () => {
  const server = await startJsServer({ onConnection: (c) => c.close(Code.RATE_LIMITED, 'later') });
  try {
    const { lines } = await runPeerClient(server.port, { calls: 1 });
    assert.deepEqual(lines, ['ended peer RATE_LIMITED']);
  } finally {
    server.close();
  }
});
