// Raystream clients for end-to-end tests: the implementation of tests/interop, over the transports of a gateway.
import WebSocket from 'ws';
import { Client } from '../interop/raystream/client.mjs';
import { bind, connectTcp } from '../interop/raystream/tcp.mjs';

/** The keys of a gateway, as Client wants them pinned. */
export async function fetchPins(url, apiKey) {
  const response = await fetch(`${url}/api/v1/raystream/key`, { headers: { authorization: `Bearer ${apiKey}` } });
  const body = await response.json();
  if (response.status !== 200) throw new Error(JSON.stringify(body));
  return new Map(body.keys.map(({ id, publicKey }) => [id, Buffer.from(publicKey, 'base64url')]));
}

export function connectWebSocket(url, options, headers = {}, tls = {}) {
  const socket = new WebSocket(url, { headers, ...tls });
  const client = new Client({ write: (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes), end: () => socket.close() }, { ...options, wholeFrames: true });
  client.socket = socket;
  socket.on('open', () => client.start());
  socket.on('message', (data) => client.receive(data));
  socket.on('error', () => {});
  socket.on('close', () => client.dropped());
  return client;
}

/** Over a socket that is being opened; `opened` is its event for that. */
export function connectSocket(socket, opened, options) {
  const client = bind(socket, (transport) => new Client(transport, options));
  socket.once(opened, () => client.start());
  return client;
}

/** `to`: {url} for a WebSocket, {port} for TCP. */
export const connectRaystream = (to, options) => (to.port ? connectTcp(to.port, options) : connectWebSocket(`${to.url.replace(/^http/, 'ws')}/raystream`, options));

/** A call with JSON both ways: {status, json}; an RPC_ERROR is thrown. */
export async function callJson(client, method, body, metadata = {}) {
  const args = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
  const { status, result } = await client.call(method, args, { 'content-type': 'application/json', ...metadata });
  return { status, json: result.length === 0 ? undefined : JSON.parse(result) };
}
