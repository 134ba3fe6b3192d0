// The two implementations, started against each other: raystream_peer (libs/raystream) and raystream/ (JavaScript).
import { join } from 'node:path';
import { ed25519Public } from './raystream/crypto.mjs';
import { decode, encode } from './raystream/messages.mjs';
import { CallFailed } from './raystream/server.mjs';
import { Channels } from './raystream/channels.mjs';
import { connectTcp, serveTcp } from './raystream/tcp.mjs';
import { bin } from '../support/paths.mjs';
import { Child, waitFor } from '../support/processes.mjs';

export const seed = Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex');
export const pins = new Map([['test', ed25519Public(seed)]]);
export const ciphers = ['chacha20-poly1305', 'aes-256-gcm'];

const program = join(bin, 'raystream_peer');

export async function startPeerServer() {
  const child = new Child('raystream_peer', program, ['server', `test:${seed.toString('hex')}`]);
  const port = Number((await waitFor(() => /^port (\d+)$/m.exec(child.output), 'the port of raystream_peer'))[1]);
  return {
    port,
    connect: (options = {}) => connectTcp(port, { pins, ...options }),
    stop: () => child.stop(),
  };
}

// Runs the peer as a client; gives its lines and exit code.
export async function runPeerClient(port, options, key = pins.get('test')) {
  const child = new Child('raystream_peer', program, [
    'client', String(port), `test:${key.toString('hex')}`, ...Object.entries(options).map(([name, value]) => `${name}=${value}`),
  ]);
  await waitFor(() => child.exited, 'raystream_peer ends', 120_000);
  return { lines: child.output.trim().split('\n'), code: child.exited.code };
}

// The server in JavaScript with the methods that the tests call.
export async function startJsServer({ fixed, onConnection } = {}) {
  const sessions = new Map();
  const channels = new Channels();
  const connections = [];
  const methods = {
    'auth.attach': async (args) => {
      if (decode('Attach', args).api_key !== 'test-key') throw new CallFailed(1, 401, 'Unauthorized', 'the key is unknown');
      return encode('Attached', { expires_at: Date.now() + 300_000 });
    },
    echo: async (args) => args,
  };
  const server = await serveTcp(
    () => ({ keys: [{ id: 'test', seed }], sessions, channels, methods, fixed }),
    (connection) => {
      connections.push(connection);
      onConnection?.(connection, connections.length);
    });
  return { ...server, sessions, channels, connections };
}
