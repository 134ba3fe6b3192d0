// The messages of proto/raymesh/raystream/v1/raystream.proto: a table and a type for each.
import { decode, encode, type Message, type Schema } from './protobuf.js';

/** A message type: how to write it, and how to read it. */
export class MessageType<T extends object> {
  constructor(private readonly schema: Schema) {}

  encode(message: Partial<T>): Uint8Array {
    return encode(this.schema, message as Message);
  }
  /** Throws for what is not such a message. */
  decode(bytes: Uint8Array): T {
    return decode(this.schema, bytes) as T;
  }
}

type Bytes = Uint8Array;

export const HandshakeInit = new MessageType<{ offer: Bytes; binder: Bytes }>({ 1: ['offer', 'bytes'], 2: ['binder', 'bytes'] });

export const Offer = new MessageType<{ version: number; clientPub: Bytes; supportedCiphers: Bytes[]; serverKeyId: Bytes; sessionId: Bytes }>({
  1: ['version', 'uint'],
  2: ['clientPub', 'bytes'],
  3: ['supportedCiphers', 'bytes', 'repeated'],
  4: ['serverKeyId', 'bytes'],
  5: ['sessionId', 'bytes'],
});

export const HandshakeResponse = new MessageType<{ hello: Bytes; signature: Bytes }>({ 1: ['hello', 'bytes'], 2: ['signature', 'bytes'] });

export const Hello = new MessageType<{
  version: number;
  serverPub: Bytes;
  sessionId: Bytes;
  selectedCipher: Bytes;
  expiresAt: number;
  serverKeyId: Bytes;
  resumed: boolean;
}>({
  1: ['version', 'uint'],
  2: ['serverPub', 'bytes'],
  3: ['sessionId', 'bytes'],
  4: ['selectedCipher', 'bytes'],
  5: ['expiresAt', 'uint'],
  6: ['serverKeyId', 'bytes'],
  7: ['resumed', 'bool'],
});

export const RpcCall = new MessageType<{ callId: number; method: string; args: Bytes; more: boolean; metadata: Record<string, string> }>({
  1: ['callId', 'uint'],
  2: ['method', 'string'],
  3: ['args', 'bytes'],
  4: ['more', 'bool'],
  5: ['metadata', 'map'],
});

export const Attach = new MessageType<{ apiKey: string; accessToken: string }>({ 1: ['apiKey', 'string'], 2: ['accessToken', 'string'] });

export const Attached = new MessageType<{ expiresAt: number }>({ 1: ['expiresAt', 'uint'] });

export const RpcResponse = new MessageType<{ callId: number; status: number; result: Bytes; more: boolean }>({
  1: ['callId', 'uint'],
  2: ['status', 'uint'],
  3: ['result', 'bytes'],
  4: ['more', 'bool'],
});

export const RpcError = new MessageType<{
  callId: number;
  errorCode: number;
  errorMessage: string;
  status: number;
  stackTrace: string;
  code: string;
  retryAfterMs: number;
}>({
  1: ['callId', 'uint'],
  2: ['errorCode', 'uint'],
  3: ['errorMessage', 'string'],
  4: ['status', 'uint'],
  5: ['stackTrace', 'string'],
  6: ['code', 'string'],
  7: ['retryAfterMs', 'uint'],
});

export const Subscribe = new MessageType<{ callId: number; kind: number; name: string; on: boolean; fromPosition: Bytes; presence: boolean; batches: boolean }>({
  1: ['callId', 'uint'],
  2: ['kind', 'uint'],
  3: ['name', 'string'],
  4: ['on', 'bool'],
  5: ['fromPosition', 'bytes'],
  6: ['presence', 'bool'],
  7: ['batches', 'bool'],
});

export const Subscribed = new MessageType<{ position: Bytes }>({ 1: ['position', 'bytes'] });

export interface ResumeSubscription {
  kind: number;
  name: string;
  position: Bytes;
  presence: boolean;
  batches: boolean;
}
const kSubscription: Schema = { 1: ['kind', 'uint'], 2: ['name', 'string'], 3: ['position', 'bytes'], 4: ['presence', 'bool'], 5: ['batches', 'bool'] };
export const Resume = new MessageType<{ subscriptions: ResumeSubscription[] }>({ 1: ['subscriptions', kSubscription, 'repeated'] });
export const Resumed = new MessageType<{ expiresAt: number; ended: ResumeSubscription[] }>({
  1: ['expiresAt', 'uint'],
  2: ['ended', kSubscription, 'repeated'],
});

export interface EventMessage {
  kind: number;
  name: string;
  position: Bytes;
  type: number;
  id: string;
  data: Bytes;
  oldData: Bytes;
}
const kEvent: Schema = {
  1: ['kind', 'uint'],
  2: ['name', 'string'],
  3: ['position', 'bytes'],
  4: ['type', 'uint'],
  5: ['id', 'string'],
  6: ['data', 'bytes'],
  7: ['oldData', 'bytes'],
};
export const Event = new MessageType<EventMessage & { more: EventMessage[] }>({ ...kEvent, 8: ['more', kEvent, 'repeated'] });

export const Heartbeat = new MessageType<{ timestamp: number; serverTime: number }>({ 1: ['timestamp', 'uint'], 2: ['serverTime', 'uint'] });

export const Close = new MessageType<{ code: number; reason: Bytes }>({ 1: ['code', 'uint'], 2: ['reason', 'bytes'] });
