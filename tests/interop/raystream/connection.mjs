// What both roles share: incoming bytes become checked frames, a refusal is final, and a call's parts become one.
import { Code, Direction, kAttached, kBeforeAttach, plainFrame, Refused, takeFrame, Type } from './frames.mjs';
import { encode } from './messages.mjs';

const kLargestCall = 16 * 1048576;

export class Connection {
  // transport: {write(bytes), end()}; its owner calls receive(bytes) and dropped(). wholeFrames: WebSocket.
  constructor(transport, { wholeFrames = false } = {}) {
    this.transport = transport;
    this.wholeFrames = wholeFrames;
    this.input = Buffer.alloc(0);
    this.limit = 4096;
    this.out = undefined;  // Direction, once there are keys
    this.in = undefined;
    this.state = 'beginning';
    // {code, reason, by: 'us'|'peer'|'drop'}: why it ended.
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
  }

  receive(chunk) {
    if (this.state === 'closed') return;
    this.input = this.input.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.input, chunk]);
    try {
      for (;;) {
        const frame = this.input.length === 0 ? null : takeFrame(this.input, this.expected());
        if (!frame) break;
        if (this.wholeFrames && frame.size !== this.input.length) throw new Refused(Code.INVALID_REQUEST, 'more than one frame in a message');
        this.input = this.input.subarray(frame.size);
        this.onFrame(frame);
        if (this.state === 'closed') return;
      }
      if (this.wholeFrames && this.input.length > 0) throw new Refused(Code.INVALID_REQUEST, 'half a frame in a message');
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error);
    }
  }

  expected() {
    return { types: this.allowed(), limit: this.limit, direction: this.in };
  }

  // Sends CLOSE, encrypted or plain, and ends.
  close(code = Code.NORMAL, reason = '', by = 'us') {
    if (this.state === 'closed') return;
    const payload = encode('Close', { code, reason: Buffer.from(reason) });
    if (this.out) this.transport.write(this.out.seal(Type.CLOSE, payload));
    else if (this.mayCloseInPlain) this.transport.write(plainFrame(Type.CLOSE, payload));
    this.end({ code, reason, by });
  }

  refuse(error) {
    this.close(error.code, error.message);
  }

  dropped() {
    this.end({ code: undefined, reason: 'the connection dropped', by: 'drop' });
  }

  end(why) {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.transport.end();
    this.onEnd?.(why);
    this.resolveEnded(why);
  }

  keys(cipher, outSecret, inSecret) {
    this.out = new Direction(cipher, outSecret);
    this.in = new Direction(cipher, inSecret);
    this.limit = kBeforeAttach;
  }

  attached() {
    this.state = 'attached';
    this.limit = kAttached;
  }

  // An encrypted frame; gives it, so that a test can break it, unless it is to be written.
  send(type, payload) {
    if (this.state === 'closed') return;
    this.transport.write(this.out.seal(type, payload));
  }

  // `field` of `name` in as many frames as the limit wants; `first`: what stands in the first one only.
  sendParts(type, name, callId, field, bytes, first) {
    let rest = Buffer.from(bytes);
    let extra = first;
    do {
      const base = { call_id: callId, ...extra };
      // The field's tag, and its length in as many bytes as a number below the limit takes: a frame that is not the last is full.
      const room = this.limit - encode(name, { ...base, more: true }).length - (this.limit > kBeforeAttach ? 4 : 3);
      const part = rest.subarray(0, room);
      rest = rest.subarray(room);
      this.send(type, encode(name, { ...base, [field]: part, more: rest.length > 0 }));
      extra = {};
    } while (rest.length > 0);
  }
}

// The parts of calls or answers, by call id. Gives the whole one when its last part has come.
export class Parts {
  constructor(field) {
    this.field = field;
    this.open = new Map();
  }

  add(part) {
    const known = this.open.get(part.call_id);
    const whole = known ?? { ...part, parts: [], size: 0 };
    whole.parts.push(part[this.field]);
    whole.size += part[this.field].length;
    if (whole.size > kLargestCall) {
      this.open.delete(part.call_id);
      return { ...whole, tooLarge: true };
    }
    if (part.more) {
      this.open.set(part.call_id, whole);
      return null;
    }
    this.open.delete(part.call_id);
    return { ...whole, [this.field]: Buffer.concat(whole.parts) };
  }
}
