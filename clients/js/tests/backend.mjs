// What the tests connect to: the protocol's second implementation (tests/interop/raystream) as a gateway, over WebSockets or TCP,
// with sessions and channels that outlive its connections.
import { webcrypto } from 'node:crypto';
import { Channels } from '../../../tests/interop/raystream/channels.mjs';
import { ed25519Public } from '../../../tests/interop/raystream/crypto.mjs';
import { decode, encode } from '../../../tests/interop/raystream/messages.mjs';
import { CallFailed } from '../../../tests/interop/raystream/server.mjs';
import { serveTcp } from '../../../tests/interop/raystream/tcp.mjs';
import { serveWs, WebSocket } from '../../../tests/interop/raystream/ws.mjs';

// Browsers have it, and Node from 19 on: platform_web, which the tests import after this file, is tested with Node 18, too.
globalThis.crypto ??= webcrypto;

export { CallFailed, WebSocket };

const seed = Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex');
export const serverKeys = [{ id: 'test', publicKey: new Uint8Array(ed25519Public(seed)) }];

/** A method that takes and gives JSON. */
export const json = (answer) => async (args, call) => Buffer.from(JSON.stringify(await answer(JSON.parse(args.toString() || '{}'), call)));

/** kind: ws or tcp. methods: {name: handler}; `connections` are all that there were. */
export async function startBackend(kind, { methods = {}, fixed, onConnection } = {}) {
  const backend = { kind, sessions: new Map(), channels: new Channels(), connections: [], calls: [] };
  const all = {
    'auth.attach': async (args) => {
      const { api_key: key } = decode('Attach', args);
      if (key !== 'test-key') throw new CallFailed(1, 401, 'invalid_api_key', 'the key is unknown');
      return encode('Attached', { expires_at: Date.now() + 300_000 });
    },
    'raystream.echo': async (args) => args,
    ...methods,
  };
  const logged = Object.fromEntries(Object.entries(all).map(([name, method]) => [name, (args, call) => {
    backend.calls.push({ name, args, metadata: call.metadata });
    return method(args, call);
  }]));
  const server = await (kind === 'ws' ? serveWs : serveTcp)(
    () => ({ keys: [{ id: 'test', seed }], sessions: backend.sessions, channels: backend.channels, methods: logged, fixed: backend.fixed ?? fixed }),
    (connection) => {
      backend.connections.push(connection);
      onConnection?.(connection, backend.connections.length);
    });
  backend.url = kind === 'ws' ? `ws://127.0.0.1:${server.port}` : `tcp://127.0.0.1:${server.port}`;
  /** The connection that is up. */
  backend.last = () => backend.connections.at(-1);
  /** As a network that fails: no CLOSE. */
  backend.cut = () => {
    const { socket } = backend.last();
    if (kind === 'ws') socket.terminate();
    else socket.destroy();
  };
  backend.stop = async () => {
    for (const { socket } of backend.connections) (socket.terminate ?? socket.destroy).call(socket);
    await server.close();
  };
  return backend;
}

/** SUBSCRIBE is answered after a while, as by a gateway that asks others; meanwhile its name is neither there nor gone. */
export function answerSubscribeSlowly(connection) {
  const answer = connection.onSubscribe.bind(connection);
  const asked = new Set();
  connection.onSubscribe = (subscribe) => {
    const key = `${subscribe.kind} ${subscribe.name}`;
    if (asked.has(key)) return connection.sendError(subscribe.call_id, new CallFailed(6, 409, subscribe.on ? 'already_subscribed' : 'not_subscribed', 'it is being asked for'));
    asked.add(key);
    setTimeout(() => {
      asked.delete(key);
      answer(subscribe);
    }, 20);
  };
}

/** What `connection` sends in this turn, and CLOSE behind it, comes in one piece. */
export function closeBehind(connection, code) {
  connection.socket.cork();
  setImmediate(() => {
    connection.close(code, 'by the test');
    connection.socket.uncork();
  });
}

export async function eventually(condition, what, ms = 20_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
