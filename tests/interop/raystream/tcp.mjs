// Both roles over a TCP socket.
import { connect, createServer } from 'node:net';
import { Client } from './client.mjs';
import { ServerConnection } from './server.mjs';

export function bind(socket, make) {
  socket.setNoDelay(true);
  const connection = make({
    write: (bytes) => socket.writable && socket.write(bytes),
    end: () => socket.end(),
  });
  connection.socket = socket;
  socket.on('data', (bytes) => connection.receive(bytes));
  socket.on('error', () => {});
  socket.on('close', () => connection.dropped());
  return connection;
}

export function connectTcp(port, options) {
  const socket = connect(port, '127.0.0.1');
  const client = bind(socket, (transport) => new Client(transport, options));
  socket.once('connect', () => client.start());
  return client;
}

// options: what ServerConnection takes, or a function that gives it for each connection.
export async function serveTcp(options, onConnection = () => {}) {
  const server = createServer((socket) => {
    onConnection(bind(socket, (transport) => new ServerConnection(transport, typeof options === 'function' ? options() : options)));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, close: () => server.close() };
}
