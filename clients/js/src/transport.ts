// How bytes come and go: a WebSocket (one frame a message) or, in Node, TCP (a stream of frames).
import { concat } from './bytes.js';
import type { Platform } from './platform.js';

export interface TransportHandlers {
  open(): void;
  data(bytes: Uint8Array): void;
  /** What was to be sent has left this process. */
  drain(): void;
  /** May come more than once; only the first one counts. */
  end(reason: string): void;
}

export interface Transport {
  readonly wholeFrames: boolean;
  handlers: TransportHandlers | undefined;
  send(bytes: Uint8Array): void;
  /** Bytes that wait to be sent. */
  pending(): number;
  /** After what was sent. */
  close(): void;
  /** At once. */
  abort(): void;
}

/** What is used of a WebSocket: the browsers' own, Node's (22 or newer), or that of the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(bytes: Uint8Array): void;
  close(): void;
  /** Of the package `ws`: without the other end's consent. */
  terminate?(): void;
}
export type WebSocketConstructor = new (url: string) => WebSocketLike;

const kDrainPollMs = 5;
// How long the other end may take to agree with the end.
const kLingerMs = 1000;

function connectWebSocket(url: string, constructor: WebSocketConstructor): Transport {
  const socket = new constructor(url);
  socket.binaryType = 'arraybuffer';
  let polling = false;
  let over = false;
  let linger: ReturnType<typeof setTimeout> | undefined;
  const end = (reason: string): void => {
    over = true;
    clearTimeout(linger);
    transport.handlers?.end(reason);
  };
  const transport: Transport = {
    wholeFrames: true,
    handlers: undefined,
    send(bytes) {
      socket.send(bytes);
      if (polling) return;
      // A WebSocket has no event for this.
      polling = true;
      const poll = (): void => {
        // What a WebSocket has not sent when it ends is counted for good.
        if (over) return;
        if (socket.bufferedAmount > 0) {
          setTimeout(poll, kDrainPollMs);
          return;
        }
        polling = false;
        transport.handlers?.drain();
      };
      setTimeout(poll, 0);
    },
    pending: () => socket.bufferedAmount,
    close() {
      if (over) return;
      socket.close();
      if (socket.terminate) linger ??= setTimeout(() => socket.terminate!(), kLingerMs);
    },
    abort() {
      over = true;
      if (socket.terminate) socket.terminate();
      else socket.close();
    },
  };
  socket.onopen = () => transport.handlers?.open();
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (typeof data === 'string') transport.handlers?.end('a text message came');
    else transport.handlers?.data(Array.isArray(data) ? concat(...data) : new Uint8Array(data as ArrayBuffer));
  };
  socket.onerror = (event: { message?: string }) => transport.handlers?.end(event?.message || 'the WebSocket failed');
  socket.onclose = (event: { code?: number }) => end(`the WebSocket ended (${event?.code ?? 'no code'})`);
  return transport;
}

/**
 * "wss://host/raystream", "ws://...", "https://host" and "http://host" (the same, path /raystream), and in Node "tcp://host:4100".
 */
export function connectTo(url: string, platform: Platform, webSocket?: WebSocketConstructor): Transport {
  const parsed = new URL(url);
  if (parsed.protocol === 'tcp:') {
    if (!platform.connectTcp) throw new TypeError('tcp:// works in Node only');
    return platform.connectTcp(parsed.hostname.replace(/^\[|\]$/g, ''), Number(parsed.port || 4100));
  }
  parsed.protocol = parsed.protocol.replace(/^http/, 'ws');
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') throw new TypeError(`not an address of a gateway: ${url}`);
  if (parsed.pathname === '/') parsed.pathname = '/raystream';
  const constructor = webSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!constructor) throw new TypeError('this Node has no WebSocket: use a tcp:// address, or give `webSocket` (the class of the package "ws")');
  return connectWebSocket(parsed.href, constructor);
}
