// Frames: their form, what is checked of them and in which order, and one direction's keys and counters.
import { concat, isZero } from './bytes.js';
import type { ErrorCode } from './errors.js';
import { nextSecret, trafficKey } from './keys.js';
import type { Aead, CipherName, Platform } from './platform.js';

export const FrameType = {
  Init: 0x01,
  Response: 0x02,
  Resume: 0x03,
  Call: 0x10,
  Answer: 0x11,
  Error: 0x12,
  Subscribe: 0x20,
  Event: 0x21,
  Heartbeat: 0x30,
  Close: 0xff,
} as const;

export const kHandshakeLimit = 4096;
export const kUnattachedLimit = 16384;
export const kAttachedLimit = 1048576;
export const kMaxCallBytes = 16 * 1048576;
const kHeader = 16;
const kPayloadAt = 28;
const kOverhead = 44;
const kLastSequence = 16384;
const kTypes: ReadonlySet<number> = new Set(Object.values(FrameType));

/** A frame that breaks the protocol; `code` is what CLOSE says. */
export class Refused extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

export function writeHeader(type: number, sequence: number, length: number): Uint8Array {
  const header = new Uint8Array(kHeader);
  const view = new DataView(header.buffer);
  header[0] = 1;
  header[1] = type;
  view.setUint32(4, sequence);
  view.setUint32(8, length);
  return header;
}

/** Sequence, nonce and tag zero. */
export const plainFrame = (type: number, payload: Uint8Array): Uint8Array => concat(writeHeader(type, 0, payload.length), new Uint8Array(12), payload, new Uint8Array(16));

/** One direction: its secret, its key, and which frame is next. */
export class Direction {
  private epoch = 0;
  private sequence = 1;
  private aead: Aead;

  constructor(
    private readonly platform: Platform,
    private readonly cipher: CipherName,
    private secret: Uint8Array,
  ) {
    this.aead = this.key();
  }

  private key(): Aead {
    const key = trafficKey(this.platform, this.secret);
    const aead = this.platform.aead(this.cipher, key);
    key.fill(0);
    return aead;
  }

  get next(): { sequence: number; nonce: Uint8Array } {
    const nonce = new Uint8Array(12);
    const view = new DataView(nonce.buffer);
    view.setUint32(0, Math.floor(this.epoch / 2 ** 32));
    view.setUint32(4, this.epoch >>> 0);
    view.setUint32(8, this.sequence);
    return { sequence: this.sequence, nonce };
  }

  private advance(): void {
    if (this.sequence++ < kLastSequence) return;
    const old = this.secret;
    this.secret = nextSecret(this.platform, old);
    old.fill(0);
    this.aead = this.key();
    this.epoch += 1;
    this.sequence = 1;
  }

  // The nonce is taken, and never again, before anything is done with it; the key of an epoch that ends with it is overwritten after that.
  private use<T>(work: (aead: Aead) => T): T {
    const { aead } = this;
    this.advance();
    try {
      return work(aead);
    } finally {
      if (aead !== this.aead) aead.wipe?.();
    }
  }

  seal(type: number, payload: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const { sequence, nonce } = this.next;
    const header = writeHeader(type, sequence, payload.length);
    const sealed = this.use((aead) => aead.seal(nonce, header, payload));
    return sealed instanceof Promise ? sealed.then((bytes) => concat(header, nonce, bytes)) : concat(header, nonce, sealed);
  }

  open(frame: Uint8Array): Uint8Array | null | Promise<Uint8Array | null> {
    const { nonce } = this.next;
    return this.use((aead) => aead.open(nonce, frame.subarray(0, kHeader), frame.subarray(kPayloadAt)));
  }

  wipe(): void {
    this.secret.fill(0);
    this.aead.wipe?.();
  }
}

export interface Expected {
  types: readonly number[];
  limit: number;
  direction: Direction | undefined;
}

export interface Frame {
  type: number;
  /** The frame, a copy. */
  bytes: Uint8Array;
}

/** The incoming bytes of a connection, out of which whole frames are taken. */
export class FrameBuffer {
  private bytes: Uint8Array = new Uint8Array();
  private start = 0;
  private end = 0;

  get size(): number {
    return this.end - this.start;
  }

  append(chunk: Uint8Array): void {
    if (this.end + chunk.length > this.bytes.length) {
      const grown = this.size + chunk.length > this.bytes.length ? new Uint8Array(Math.max(2 * this.size, this.size + chunk.length)) : this.bytes;
      grown.set(this.bytes.subarray(this.start, this.end));
      this.end -= this.start;
      this.start = 0;
      this.bytes = grown;
    }
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  /** The next frame when it is whole. Throws Refused as soon as the bytes that show what is wrong are here. */
  take(expected: Expected): Frame | null {
    const bytes = this.bytes.subarray(this.start, this.end);
    const have = bytes.length;
    const refuse = (code: ErrorCode, what: string): never => {
      throw new Refused(code, what);
    };
    if (have >= 1 && bytes[0] !== 1) refuse('INVALID_REQUEST', `frame of version ${bytes[0]}`);
    if (have >= 2 && !kTypes.has(bytes[1]!)) refuse('INVALID_REQUEST', `frame of type ${bytes[1]}`);
    if (have < kHeader) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, have);
    if (view.getUint16(2) !== 0 || view.getUint32(12) !== 0) refuse('INVALID_REQUEST', 'flags or reserved bytes');
    const type = bytes[1]!;
    if (!expected.types.includes(type)) refuse('INVALID_REQUEST', `a frame of type ${type} does not belong here`);
    const length = view.getUint32(8);
    if (length > expected.limit) refuse('INVALID_REQUEST', `a payload of ${length} bytes`);
    const next = expected.direction?.next ?? { sequence: 0, nonce: new Uint8Array(12) };
    if (view.getUint32(4) !== next.sequence) refuse('INVALID_NONCE', 'the sequence is not the next one');
    if (have < kPayloadAt) return null;
    if (!next.nonce.every((byte, i) => byte === bytes[kHeader + i])) refuse('INVALID_NONCE', 'the nonce is not the next one');
    const size = length + kOverhead;
    if (have < size) return null;
    const frame = bytes.slice(0, size);
    this.start += size;
    if (this.start === this.end) this.start = this.end = 0;
    if (!expected.direction && type !== FrameType.Response && !isZero(tagOf(frame))) refuse('INVALID_REQUEST', 'the tag of a plain frame');
    return { type, bytes: frame };
  }
}

export const headerOf = (frame: Uint8Array): Uint8Array => frame.subarray(0, kHeader);
export const payloadOf = (frame: Uint8Array): Uint8Array => frame.subarray(kPayloadAt, frame.length - 16);
export const tagOf = (frame: Uint8Array): Uint8Array => frame.subarray(frame.length - 16);
