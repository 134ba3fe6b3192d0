// Frames: how they are written, what a receiver checks of them and in which order, and one direction's keys and counters.
import { nextSecret, open, seal, trafficKey } from './crypto.mjs';
import { decode } from './messages.mjs';

export const Type = {
  INIT: 0x01, RESPONSE: 0x02, RESUME: 0x03, CALL: 0x10, RPC_RESPONSE: 0x11, RPC_ERROR: 0x12,
  SUBSCRIBE: 0x20, EVENT: 0x21, HEARTBEAT: 0x30, CLOSE: 0xff,
};
export const Code = {
  NORMAL: 0, UNAUTHORIZED: 1, FORBIDDEN: 2, NOT_FOUND: 3, INVALID_REQUEST: 4, PERMISSION_DENIED: 5, CONFLICT: 6, RATE_LIMITED: 7,
  INTERNAL_ERROR: 8, SERVICE_UNAVAILABLE: 9, TIMEOUT: 10, OUTCOME_UNKNOWN: 11, SESSION_EXPIRED: 12, DECRYPTION_FAILED: 13, INVALID_NONCE: 14,
};
export const kBeforeResponse = 4096;
export const kBeforeAttach = 16384;
export const kAttached = 1048576;
export const kFramesPerEpoch = 16384;

const types = new Set(Object.values(Type));
const zeros = (n) => Buffer.alloc(n);

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const refuse = (code, message) => {
  throw new Refused(code, message);
};

export function header(type, sequence, length) {
  const bytes = Buffer.alloc(16);
  bytes[0] = 1;
  bytes[1] = type;
  bytes.writeUInt32BE(sequence, 4);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

export const plainFrame = (type, payload, tag = zeros(16)) =>
  Buffer.concat([header(type, 0, payload.length), zeros(12), payload, tag]);

// One direction of a connection: its secret, and which frame is next.
export class Direction {
  constructor(cipher, secret) {
    this.cipher = cipher;
    this.secret = secret;
    this.key = trafficKey(secret);
    this.epoch = 0n;
    this.sequence = 1;
  }

  nonce() {
    const bytes = Buffer.alloc(12);
    bytes.writeBigUInt64BE(this.epoch, 0);
    bytes.writeUInt32BE(this.sequence, 8);
    return bytes;
  }

  advance() {
    if (this.sequence < kFramesPerEpoch) {
      this.sequence += 1;
      return;
    }
    const old = [this.secret, this.key];
    this.secret = nextSecret(this.secret);
    this.key = trafficKey(this.secret);
    for (const bytes of old) bytes.fill(0);
    this.epoch += 1n;
    this.sequence = 1;
  }

  seal(type, payload) {
    const head = header(type, this.sequence, payload.length);
    const nonce = this.nonce();
    const frame = Buffer.concat([head, nonce, seal(this.cipher, this.key, nonce, head, payload)]);
    this.advance();
    return frame;
  }
}

// Takes one frame out of `bytes` and checks it, or gives null as long as it is not whole. `expected`: {types, limit, direction};
// no direction: plain. Each check happens as soon as its bytes are there.
export function takeFrame(bytes, { types: allowed, limit, direction }) {
  const code = Code.INVALID_REQUEST;
  if (bytes.length >= 1 && bytes[0] !== 1) refuse(code, `version ${bytes[0]}`);
  if (bytes.length >= 2 && !types.has(bytes[1])) refuse(code, `type ${bytes[1]}`);
  if (bytes.length < 16) return null;
  if (bytes.readUInt16BE(2) !== 0 || bytes.readUInt32BE(12) !== 0) refuse(code, 'flags or reserved bytes');
  const type = bytes[1];
  if (!allowed.includes(type)) refuse(code, `type ${type} in this state`);
  const length = bytes.readUInt32BE(8);
  if (length > limit) refuse(code, `payload of ${length} bytes`);
  const sequence = direction?.sequence ?? 0;
  if (bytes.readUInt32BE(4) !== sequence) refuse(Code.INVALID_NONCE, `sequence ${bytes.readUInt32BE(4)} instead of ${sequence}`);
  if (bytes.length < 28) return null;
  if (!bytes.subarray(16, 28).equals(direction?.nonce() ?? zeros(12))) refuse(Code.INVALID_NONCE, 'nonce');
  const size = 44 + length;
  if (bytes.length < size) return null;
  const head = Buffer.from(bytes.subarray(0, 16));
  const whole = Buffer.from(bytes.subarray(0, size));
  if (!direction) {
    const tag = whole.subarray(size - 16);
    if (type !== Type.RESPONSE && !tag.equals(zeros(16))) refuse(code, 'the tag of a plain frame');
    return { type, size, head, whole, tag, payload: whole.subarray(28, size - 16) };
  }
  const payload = open(direction.cipher, direction.key, direction.nonce(), head, whole.subarray(28));
  if (!payload) refuse(Code.DECRYPTION_FAILED, 'the tag does not fit');
  direction.advance();
  return { type, size, head, whole, payload };
}

export function message(name, payload) {
  try {
    return decode(name, payload);
  } catch (error) {
    throw new Refused(Code.INVALID_REQUEST, error.message);
  }
}

export const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
