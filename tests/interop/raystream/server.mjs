// The server's role, with what stands behind it reduced to functions: a table of methods, channels in memory, and a store of
// sessions that several ServerConnections (gateways, so to say) share.
import { randomBytes } from 'node:crypto';
import * as crypto from './crypto.mjs';
import { Connection, Parts } from './connection.mjs';
import { Code, message, plainFrame, Refused, Type, uuid7 } from './frames.mjs';
import { encode } from './messages.mjs';

const kCiphers = ['chacha20-poly1305', 'aes-256-gcm'];
const kLife = 5 * 60_000;
const keyName = /^[A-Za-z0-9._-]{1,32}$/;

export function newSessionId() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 15);
  bytes[8] = 0x80 | (bytes[8] & 63);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// A method that fails says so with this.
export class CallFailed extends Error {
  constructor(errorCode, status, code, text, retryAfterMs = 0) {
    super(text);
    Object.assign(this, { errorCode, status, code, retryAfterMs });
  }
}

export class ServerConnection extends Connection {
  // keys: [{id, seed}], the first one is the default. sessions: Map, shared by all connections. methods: {name: async (args, call)
  // => bytes or {status, result}}; `call.connection` is this. publicMethods: names that may be called before attach.
  // channels: {subscribe(connection, kind, name, from) => position, unsubscribe(connection, kind, name)}.
  constructor(transport, { keys, sessions, methods = {}, publicMethods = [], channels, wholeFrames, fixed = {} } = {}) {
    super(transport, { wholeFrames });
    this.signingKeys = keys;
    this.sessions = sessions;
    this.methods = methods;
    this.publicMethods = new Set(['auth.attach', ...publicMethods]);
    this.channels = channels;
    this.fixed = fixed;  // private key, session id and expiry of the known answers
    this.mayCloseInPlain = true;
    this.calls = new Parts('args');
    this.openCalls = new Set();
    this.subscriptions = new Map();
  }

  allowed() {
    switch (this.state) {
      case 'beginning': return [Type.INIT];
      case 'open': return [Type.CALL, Type.HEARTBEAT, Type.CLOSE];
      case 'resuming': return [Type.RESUME, Type.CLOSE];
      case 'attached': return [Type.CALL, Type.SUBSCRIBE, Type.HEARTBEAT, Type.CLOSE];
      default: return [];
    }
  }

  onEnd(why) {
    for (const { kind, name } of this.subscriptions.values()) this.channels?.unsubscribe(this, kind, name);
    if (this.session?.owner !== this) return;
    this.session.owner = undefined;
    const final = [Code.NORMAL, Code.UNAUTHORIZED, Code.FORBIDDEN, Code.SESSION_EXPIRED];
    if (final.includes(why.code)) this.sessions.delete(this.sessionId);
  }

  onFrame(frame) {
    if (this.confirmResume && frame.type !== Type.RESUME) {
      // The first frame after RESUME: the old secret is over.
      this.confirmResume = false;
      if (this.session.owner === this) this.session.secrets = [this.resumption];
    }
    switch (frame.type) {
      case Type.INIT: return this.onInit(frame);
      case Type.CLOSE: {
        const { code, reason } = message('Close', frame.payload);
        return this.end({ code: Number(code), reason: reason.toString(), by: 'peer' });
      }
      case Type.HEARTBEAT: {
        const { timestamp } = message('Heartbeat', frame.payload);
        this.onHeartbeat?.();
        if (this.silent) return;
        return this.send(Type.HEARTBEAT, encode('Heartbeat', { timestamp, server_time: this.fixed.serverTime ?? Date.now() }));
      }
      case Type.RESUME: return this.onResume(message('Resume', frame.payload));
      case Type.CALL: return this.onCall(message('RpcCall', frame.payload));
      case Type.SUBSCRIBE: return this.onSubscribe(message('Subscribe', frame.payload));
    }
  }

  onInit(frame) {
    const check = (fine, what) => {
      if (!fine) throw new Refused(Code.INVALID_REQUEST, what);
    };
    const { offer, binder } = message('HandshakeInit', frame.payload);
    const asked = message('Offer', offer);
    check(asked.version === 1n, 'version');
    check(asked.client_pub.length === 32, 'client_pub');
    check(asked.supported_ciphers.length >= 1 && asked.supported_ciphers.length <= 16, 'ciphers');
    const cipher = kCiphers.find((name) => asked.supported_ciphers.some((c) => c.toString('latin1') === name));
    check(cipher, 'none of the ciphers is known');
    const keyId = asked.server_key_id.toString('latin1');
    check(keyId === '' || keyName.test(keyId), 'server_key_id');
    const askedId = asked.session_id.toString('latin1');
    check(askedId === '' || uuid7.test(askedId), 'session_id');
    check(binder.length === (askedId === '' ? 0 : 32), 'binder');

    const stored = askedId === '' ? undefined : this.sessions.get(askedId);
    const secret = stored?.secrets.find((s) => crypto.equal(crypto.binder(s, frame.head, offer), binder));
    const own = this.fixed.privateKey ?? crypto.newPrivate();
    const shared = crypto.shared(own, asked.client_pub);
    check(shared, 'client_pub gives a secret of zeros');
    const serverPub = crypto.x25519Public(own);
    const key = this.signingKeys.find(({ id }) => id === keyId) ?? this.signingKeys[0];
    const sessionId = secret ? askedId : this.fixed.sessionId ?? newSessionId();
    const hello = encode('Hello', {
      version: 1, server_pub: serverPub, session_id: sessionId, selected_cipher: cipher,
      expires_at: this.fixed.expiresAt ?? Date.now() + kLife, server_key_id: key.id, resumed: Boolean(secret), ...this.fixed.hello,
    });
    const signature = crypto.sign(key.seed, crypto.signedText(frame.whole, hello));
    const payload = encode('HandshakeResponse', { hello, signature });
    const head = plainFrame(Type.RESPONSE, payload).subarray(0, 16);
    this.schedule = crypto.schedule({
      shared, psk: secret ? crypto.resumePsk(secret) : undefined, sessionId, clientPub: asked.client_pub, serverPub,
      initFrame: frame.whole, responseHeader: head, responsePayload: payload,
    });
    const tag = crypto.confirmationTag(cipher, this.schedule.s2c, this.schedule.h);
    Object.assign(this, { sessionId, cipher, resumption: this.schedule.resumption, resumedWith: secret });
    const response = plainFrame(Type.RESPONSE, payload, tag);
    this.transport.write(this.fixed.breakResponse?.(response) ?? response);
    this.state = secret ? 'resuming' : 'open';
    this.keys(cipher, this.schedule.s2c, this.schedule.c2s);
  }

  onResume({ subscriptions }) {
    const session = this.sessions.get(this.sessionId);
    if (!session) return this.close(Code.SESSION_EXPIRED, 'the session is over');
    session.generation += 1;
    const before = session.owner;
    session.owner = this;
    before?.close(Code.CONFLICT, 'the session goes on over another connection');
    session.secrets = [this.resumedWith, this.resumption];
    this.session = session;
    this.principal = session.principal;
    this.confirmResume = true;
    const ended = [];
    const going = subscriptions.filter((s) => {
      const fine = this.channels && !this.channels.gone?.(s.kind, s.name);
      if (!fine) ended.push(s);
      return fine;
    });
    this.onResuming?.();
    if (this.state === 'closed') return;
    this.send(Type.RESUME, encode('Resumed', { expires_at: Date.now() + kLife, ended }));
    this.attached();
    for (const s of going) {
      this.follow(s.kind, s.name, s.position);
      this.channels.replay(this, s.kind, s.name, s.position);
    }
  }

  follow(kind, name, from) {
    const position = this.channels.subscribe(this, kind, name, from);
    this.subscriptions.set(`${kind} ${name}`, { kind, name });
    return position;
  }

  sendError(callId, failed) {
    const known = failed instanceof CallFailed;
    this.send(Type.RPC_ERROR, encode('RpcError', {
      call_id: callId, error_code: known ? failed.errorCode : Code.INTERNAL_ERROR, error_message: failed.message,
      status: known ? failed.status : 500, code: known ? failed.code : 'InternalError', retry_after_ms: known ? failed.retryAfterMs : 0,
    }));
  }

  async onCall(part) {
    const call = this.calls.add(part);
    if (!call) return;
    const callId = call.call_id;
    this.openCalls.add(callId);
    try {
      if (call.tooLarge) throw new CallFailed(Code.INVALID_REQUEST, 413, 'PayloadTooLarge', 'the call is too large');
      if (this.state === 'open' && !this.publicMethods.has(call.method)) {
        throw new CallFailed(Code.UNAUTHORIZED, 401, 'Unauthorized', 'attach the session first');
      }
      const method = this.methods[call.method];
      if (!method) throw new CallFailed(Code.NOT_FOUND, 404, 'NotFound', `there is no method "${call.method}"`);
      const done = await method(call.args, { metadata: call.metadata, connection: this });
      const { status, result } = Buffer.isBuffer(done) ? { status: 200, result: done } : done;
      if (this.state === 'closed') return;
      const attaches = call.method === 'auth.attach';
      if (attaches) {
        this.session = { generation: 1, secrets: [this.resumption], owner: this, principal: this.principal };
        this.sessions.set(this.sessionId, this.session);
      }
      this.sendParts(Type.RPC_RESPONSE, 'RpcResponse', callId, 'result', result, { status });
      if (attaches) this.attached();
    } catch (error) {
      this.sendError(callId, error);
    } finally {
      this.openCalls.delete(callId);
    }
  }

  onSubscribe({ call_id: callId, kind, name, on, from_position: from }) {
    try {
      if (!this.channels) throw new CallFailed(Code.NOT_FOUND, 404, 'NotFound', 'there is nothing to subscribe to');
      if (on === this.subscriptions.has(`${kind} ${name}`))
        throw new CallFailed(Code.CONFLICT, 409, on ? 'already_subscribed' : 'not_subscribed', `the session is ${on ? 'subscribed to it already' : 'not subscribed to it'}`);
      let position = Buffer.alloc(0);
      if (on) {
        position = this.follow(kind, name, from);
      } else {
        this.subscriptions.delete(`${kind} ${name}`);
        this.channels.unsubscribe(this, kind, name);
      }
      this.send(Type.RPC_RESPONSE, encode('RpcResponse', { call_id: callId, status: 200, result: encode('Subscribed', { position }) }));
      // Events behind the position, after the answer.
      if (on) this.channels.replay(this, kind, name, from);
    } catch (error) {
      this.sendError(callId, error);
    }
  }

  event(event) {
    if (this.state === 'attached') this.send(Type.EVENT, encode('Event', event));
  }
}
