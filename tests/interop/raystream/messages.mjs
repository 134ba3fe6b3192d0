// The Protobuf messages of proto/raymesh/raystream/v1/raystream.proto, transcribed by hand: what the protocol page and
// that file say is all that this implementation knows. Unknown fields are passed over, broken messages throw.
const schemas = {
  HandshakeInit: { 1: ['offer', 'bytes'], 2: ['binder', 'bytes'] },
  Offer: {
    1: ['version', 'uint'], 2: ['client_pub', 'bytes'], 3: ['supported_ciphers', 'bytes', 'repeated'],
    4: ['server_key_id', 'bytes'], 5: ['session_id', 'bytes'],
  },
  HandshakeResponse: { 1: ['hello', 'bytes'], 2: ['signature', 'bytes'] },
  Hello: {
    1: ['version', 'uint'], 2: ['server_pub', 'bytes'], 3: ['session_id', 'bytes'], 4: ['selected_cipher', 'bytes'],
    5: ['expires_at', 'uint'], 6: ['server_key_id', 'bytes'], 7: ['resumed', 'bool'],
  },
  RpcCall: { 1: ['call_id', 'uint'], 2: ['method', 'string'], 3: ['args', 'bytes'], 4: ['more', 'bool'], 5: ['metadata', 'map'] },
  Attach: { 1: ['api_key', 'string'], 2: ['access_token', 'string'] },
  Attached: { 1: ['expires_at', 'uint'] },
  RpcResponse: { 1: ['call_id', 'uint'], 2: ['status', 'uint'], 3: ['result', 'bytes'], 4: ['more', 'bool'] },
  RpcError: {
    1: ['call_id', 'uint'], 2: ['error_code', 'uint'], 3: ['error_message', 'string'], 4: ['status', 'uint'],
    5: ['stack_trace', 'string'], 6: ['code', 'string'], 7: ['retry_after_ms', 'uint'],
  },
  Subscribe: { 1: ['call_id', 'uint'], 2: ['kind', 'uint'], 3: ['name', 'string'], 4: ['on', 'bool'], 5: ['from_position', 'bytes'], 6: ['presence', 'bool'], 7: ['batches', 'bool'] },
  Subscribed: { 1: ['position', 'bytes'] },
  Subscription: { 1: ['kind', 'uint'], 2: ['name', 'string'], 3: ['position', 'bytes'], 4: ['presence', 'bool'], 5: ['batches', 'bool'] },
  Resume: { 1: ['subscriptions', 'Subscription', 'repeated'] },
  Resumed: { 1: ['expires_at', 'uint'], 2: ['ended', 'Subscription', 'repeated'] },
  Event: {
    1: ['kind', 'uint'], 2: ['name', 'string'], 3: ['position', 'bytes'], 4: ['type', 'uint'], 5: ['id', 'string'],
    6: ['data', 'bytes'], 7: ['old_data', 'bytes'], 8: ['more', 'Event', 'repeated'],
  },
  Heartbeat: { 1: ['timestamp', 'uint'], 2: ['server_time', 'uint'] },
  Close: { 1: ['code', 'uint'], 2: ['reason', 'bytes'] },
  Entry: { 1: ['key', 'string'], 2: ['value', 'string'] },
};

function varint(value) {
  const out = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}

const lengthDelimited = (number, bytes) => Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);

function encodeField(number, type, value) {
  if (type === 'uint' || type === 'bool') return BigInt(value) === 0n ? [] : [varint(number * 8), varint(value)];
  if (type === 'map') {
    return Object.entries(value).map(([key, text]) => lengthDelimited(number, encode('Entry', { key, value: text })));
  }
  const bytes = type in schemas ? encode(type, value) : Buffer.from(value);
  return bytes.length === 0 && !(type in schemas) ? [] : [lengthDelimited(number, bytes)];
}

// Fields in the order of their numbers, defaults left out. Integers are Numbers or BigInts.
export function encode(name, message) {
  const out = [];
  for (const [number, [field, type, repeated]] of Object.entries(schemas[name])) {
    const value = message[field];
    if (value === undefined) continue;
    if (!repeated) {
      out.push(...encodeField(Number(number), type, value));
    } else {
      // An empty element of a list is an element.
      for (const element of value) out.push(lengthDelimited(Number(number), type in schemas ? encode(type, element) : Buffer.from(element)));
    }
  }
  return Buffer.concat(out);
}

function defaults(name) {
  const message = {};
  for (const [field, type, repeated] of Object.values(schemas[name])) {
    if (repeated) message[field] = [];
    else message[field] = { uint: 0n, bool: false, string: '', bytes: Buffer.alloc(0), map: {} }[type];
  }
  return message;
}

export function decode(name, bytes) {
  const message = defaults(name);
  let at = 0;
  const readVarint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) throw new Error(`${name}: ends within a number`);
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new Error(`${name}: a number of more than 10 bytes`);
  };
  const take = (length) => {
    if (length > bytes.length - at) throw new Error(`${name}: ends within a field`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (number === 0 || number >= 2 ** 29) throw new Error(`${name}: field number ${number}`);
    let value;
    if (wire === 0) value = readVarint();
    else if (wire === 1) take(8);
    else if (wire === 5) take(4);
    else if (wire === 2) value = take(Number(readVarint()));
    else throw new Error(`${name}: wire type ${wire}`);
    const [field, type, repeated] = schemas[name][number] ?? [];
    const scalar = type === 'uint' || type === 'bool';
    if (field === undefined || wire !== (scalar ? 0 : 2)) continue;
    if (type === 'bool') value = value !== 0n;
    else if (type === 'string') value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
    else if (type === 'map') {
      const entry = decode('Entry', value);
      message[field][entry.key] = entry.value;
      continue;
    } else if (type in schemas) value = decode(type, value);
    if (repeated) message[field].push(value);
    else message[field] = value;
  }
  return message;
}
