// The client's role.
import * as crypto from './crypto.mjs';
import { Connection, Parts } from './connection.mjs';
import { Code, header, message, plainFrame, Refused, Type, uuid7 } from './frames.mjs';
import { decode, encode } from './messages.mjs';

const kCiphers = ['chacha20-poly1305', 'aes-256-gcm'];

export class Client extends Connection {
  // pins: Map of key id to Ed25519 public key. resume: {sessionId, secret} of an earlier session.
  // privateKey: for known answers only.
  constructor(transport, { pins, ciphers = kCiphers, resume, keyId = '', privateKey, wholeFrames } = {}) {
    super(transport, { wholeFrames });
    this.pins = pins;
    this.ciphers = ciphers;
    this.resume = resume;
    this.keyId = keyId;
    this.privateKey = privateKey ?? crypto.newPrivate();
    this.calls = new Map();
    this.answers = new Parts('result');
    this.nextCall = 1n;
    this.events = [];
    this.heartbeats = [];
    this.ready = new Promise((resolve, reject) => Object.assign(this, { onReady: resolve, onRefused: reject }));
    this.ready.catch(() => {});
  }

  start() {
    this.clientPub = crypto.x25519Public(this.privateKey);
    const offer = encode('Offer', {
      version: 1, client_pub: this.clientPub, supported_ciphers: this.ciphers, server_key_id: this.keyId,
      session_id: this.resume?.sessionId ?? '',
    });
    const length = encode('HandshakeInit', { offer, binder: Buffer.alloc(this.resume ? 32 : 0, 1) }).length;
    const binder = this.resume ? crypto.binder(this.resume.secret, header(Type.INIT, 0, length), offer) : Buffer.alloc(0);
    this.init = plainFrame(Type.INIT, encode('HandshakeInit', { offer, binder }));
    this.state = 'init sent';
    this.transport.write(this.init);
  }

  allowed() {
    switch (this.state) {
      case 'beginning': return [Type.CLOSE];
      case 'init sent': return [Type.RESPONSE, Type.CLOSE];
      case 'open': return [Type.RPC_RESPONSE, Type.RPC_ERROR, Type.HEARTBEAT, Type.CLOSE];
      case 'resuming': return [Type.CLOSE];
      case 'resume pending': return [Type.RESUME, Type.CLOSE];
      case 'attached': return [Type.RPC_RESPONSE, Type.RPC_ERROR, Type.EVENT, Type.HEARTBEAT, Type.CLOSE];
      default: return [];
    }
  }

  // A refused handshake ends without a word.
  refuse(error) {
    if (this.out) super.refuse(error);
    else this.end({ code: error.code, reason: error.message, by: 'us' });
  }

  onEnd(why) {
    const error = Object.assign(new Error(`the session ended: ${why.reason || why.code}`), why);
    this.onRefused(error);
    for (const { reject } of this.calls.values()) reject(error);
    this.calls.clear();
    this.onResumeFailed?.(error);
  }

  onFrame(frame) {
    switch (frame.type) {
      case Type.RESPONSE: return this.onResponse(frame);
      case Type.CLOSE: {
        const { code, reason } = message('Close', frame.payload);
        return this.end({ code: Number(code), reason: reason.toString(), by: 'peer' });
      }
      case Type.RESUME: {
        const resumed = message('Resumed', frame.payload);
        this.attached();
        this.resume = { sessionId: this.sessionId, secret: this.resumption };
        return this.onResumed(resumed);
      }
      case Type.HEARTBEAT: return void this.heartbeats.push(message('Heartbeat', frame.payload));
      case Type.EVENT: {
        const event = message('Event', frame.payload);
        this.frames = (this.frames ?? 0) + 1;
        for (const one of [event, ...event.more]) {
          this.events.push(one);
          this.onEvent?.(one);
        }
        return;
      }
      case Type.RPC_ERROR: {
        const error = message('RpcError', frame.payload);
        this.answers.open.delete(error.call_id);
        this.take(error.call_id)?.reject(Object.assign(new Error(error.error_message), error, { error_code: Number(error.error_code) }));
        return;
      }
      case Type.RPC_RESPONSE: {
        const part = message('RpcResponse', frame.payload);
        if (!this.calls.has(part.call_id)) return;
        const answer = this.answers.add(part);
        if (answer) this.take(answer.call_id).settle(answer);
      }
    }
  }

  take(callId) {
    const call = this.calls.get(callId);
    this.calls.delete(callId);
    return call;
  }

  onResponse(frame) {
    const check = (fine, what) => {
      if (!fine) throw new Refused(Code.INVALID_REQUEST, what);
    };
    const { hello, signature } = message('HandshakeResponse', frame.payload);
    const said = message('Hello', hello);
    const pin = this.pins.get(said.server_key_id.toString());
    check(pin, `key ${said.server_key_id} is not pinned`);
    check(signature.length === 64 && crypto.verify(pin, crypto.signedText(this.init, hello), signature), 'signature');
    check(said.version === 1n, 'version');
    const cipher = said.selected_cipher.toString();
    check(this.ciphers.includes(cipher), `cipher ${cipher}`);
    const sessionId = said.session_id.toString();
    check(uuid7.test(sessionId), 'session id');
    check(said.resumed === (sessionId === this.resume?.sessionId), 'resumed');
    check(said.server_pub.length === 32, 'server_pub');
    const shared = crypto.shared(this.privateKey, said.server_pub);
    check(shared, 'server_pub gives a secret of zeros');
    this.schedule = crypto.schedule({
      shared, psk: said.resumed ? crypto.resumePsk(this.resume.secret) : undefined, sessionId,
      clientPub: this.clientPub, serverPub: said.server_pub, initFrame: this.init, responseHeader: frame.head, responsePayload: frame.payload,
    });
    check(crypto.equal(frame.tag, crypto.confirmationTag(cipher, this.schedule.s2c, this.schedule.h)), 'the tag that confirms the keys');
    Object.assign(this, { sessionId, cipher, resumed: said.resumed, resumption: this.schedule.resumption });
    this.state = said.resumed ? 'resuming' : 'open';
    this.keys(cipher, this.schedule.c2s, this.schedule.s2c);
    this.onReady({ sessionId, cipher, resumed: said.resumed, expiresAt: Number(said.expires_at) });
  }

  // The answer: {status, result}.
  call(method, args = Buffer.alloc(0), metadata = {}) {
    const callId = this.nextCall++;
    return this.pending(callId, () => this.sendParts(Type.CALL, 'RpcCall', callId, 'args', args, { method, metadata }));
  }

  pending(callId, send) {
    if (this.state === 'closed') return Promise.reject(new Error('the session has ended'));
    return new Promise((resolve, reject) => {
      this.calls.set(callId, { settle: ({ status, result }) => resolve({ status: Number(status), result }), reject });
      send();
    });
  }

  // The limit is raised when the answer has been read and before what follows is looked at.
  attach(apiKey, accessToken = '') {
    const callId = this.nextCall++;
    const answered = this.pending(callId, () =>
      this.sendParts(Type.CALL, 'RpcCall', callId, 'args', encode('Attach', { api_key: apiKey, access_token: accessToken }), { method: 'auth.attach' }));
    const call = this.calls.get(callId);
    const settle = call.settle;
    call.settle = (answer) => {
      this.attached();
      this.resume = { sessionId: this.sessionId, secret: this.resumption };
      settle(answer);
    };
    return answered.then(({ result }) => decode('Attached', result));
  }

  // After a handshake that said `resumed`: the answer is Resumed.
  sendResume(subscriptions = []) {
    const answered = new Promise((resolve, reject) => Object.assign(this, { onResumed: resolve, onResumeFailed: reject }));
    this.send(Type.RESUME, encode('Resume', { subscriptions }));
    this.state = 'resume pending';
    return answered;
  }

  subscribe(kind, name, { on = true, from = Buffer.alloc(0), presence = false, batches = false } = {}) {
    const callId = this.nextCall++;
    return this.pending(callId, () =>
      this.send(Type.SUBSCRIBE, encode('Subscribe', { call_id: callId, kind, name, on, from_position: from, presence, batches })))
      .then(({ result }) => decode('Subscribed', result));
  }

  heartbeat(timestamp = Date.now()) {
    this.send(Type.HEARTBEAT, encode('Heartbeat', { timestamp }));
  }
}
