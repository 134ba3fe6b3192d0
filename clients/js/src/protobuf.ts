// Protobuf (proto3) for the few message types of raystream, driven by a table per message. Written here because it is a hundred
// lines: a general library would be the largest part of this package, and a second dependency to trust with bytes from the network.
// Integers are Numbers: what raystream counts stays below 2^53.
import { concat, text, utf8 } from './bytes.js';

type Scalar = 'uint' | 'bool' | 'string' | 'bytes' | 'map';
type Field = readonly [name: string, type: Scalar | Schema, repeated?: 'repeated'];
export type Schema = { readonly [number: number]: Field };
export type Message = Record<string, unknown>;

const kEntry: Schema = { 1: ['key', 'string'], 2: ['value', 'string'] };

function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not an unsigned integer: ${value}`);
  const out: number[] = [];
  while (value > 127) {
    out.push((value % 128) | 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
  return Uint8Array.from(out);
}

const delimited = (number: number, bytes: Uint8Array): Uint8Array[] => [varint(number * 8 + 2), varint(bytes.length), bytes];

/** Defaults are left out; unknown members of `message` are not looked at. */
export function encode(schema: Schema, message: Message): Uint8Array {
  const out: Uint8Array[] = [];
  for (const [key, [name, type, repeated]] of Object.entries(schema)) {
    const number = Number(key);
    const value = message[name];
    if (value === undefined) continue;
    if (type === 'map') {
      for (const [k, v] of Object.entries(value as Record<string, string>)) out.push(...delimited(number, encode(kEntry, { key: k, value: v })));
      continue;
    }
    const each = repeated ? (value as unknown[]) : [value];
    for (const element of each) {
      if (type === 'uint' || type === 'bool') {
        if (Number(element) !== 0) out.push(varint(number * 8), varint(Number(element)));
        continue;
      }
      const bytes = typeof type === 'object' ? encode(type, element as Message) : type === 'string' ? utf8(element as string) : (element as Uint8Array);
      if (bytes.length > 0 || repeated || typeof type === 'object') out.push(...delimited(number, bytes));
    }
  }
  return concat(...out);
}

function empty(schema: Schema): Message {
  const message: Message = {};
  for (const [name, type, repeated] of Object.values(schema)) {
    if (repeated) message[name] = [];
    else if (type === 'uint') message[name] = 0;
    else if (type === 'bool') message[name] = false;
    else if (type === 'string') message[name] = '';
    else if (type === 'bytes') message[name] = new Uint8Array();
    else if (type === 'map') message[name] = {};
  }
  return message;
}

/** Throws for what is not a message. Unknown fields, and known ones of another wire type, are passed over. Bytes are views. */
export function decode(schema: Schema, bytes: Uint8Array): Message {
  const message = empty(schema);
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; ++i) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the message ends within a number');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    throw new Error('a number of more than 10 bytes');
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new Error('the message ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const wire = tag % 8;
    const number = Math.floor(tag / 8);
    if (number === 0 || number >= 2 ** 29) throw new Error(`field number ${number}`);
    const field = schema[number];
    if (wire === 0) {
      const value = readVarint();
      if (field && (field[1] === 'uint' || field[1] === 'bool')) message[field[0]] = field[1] === 'bool' ? value !== 0 : value;
    } else if (wire === 2) {
      const value = take(readVarint());
      if (field) setDelimited(message, field, value);
    } else if (wire === 1) {
      take(8);
    } else if (wire === 5) {
      take(4);
    } else {
      throw new Error(`wire type ${wire}`);
    }
  }
  return message;
}

function setDelimited(message: Message, [name, type, repeated]: Field, bytes: Uint8Array): void {
  if (type === 'uint' || type === 'bool') return;
  if (type === 'map') {
    const entry = decode(kEntry, bytes);
    // A map's keys come from the network: none of them may name a prototype.
    Object.defineProperty(message[name], entry['key'] as string, { value: entry['value'], enumerable: true, configurable: true, writable: true });
    return;
  }
  const value = typeof type === 'object' ? decode(type, bytes) : type === 'string' ? text(bytes) : bytes;
  if (repeated) (message[name] as unknown[]).push(value);
  else message[name] = value;
}
