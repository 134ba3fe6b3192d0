// The server's role over WebSockets: one frame a message.
import { WebSocket, WebSocketServer } from 'ws';
import { ServerConnection } from './server.mjs';

export { WebSocket };

export async function serveWs(options, onConnection = () => {}) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/raystream', perMessageDeflate: false });
  server.on('connection', (socket) => {
    const connection = new ServerConnection(
      { write: (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes), end: () => socket.close() },
      { ...(typeof options === 'function' ? options() : options), wholeFrames: true });
    connection.socket = socket;
    socket.on('message', (bytes) => connection.receive(bytes));
    socket.on('error', () => {});
    socket.on('close', () => connection.dropped());
    onConnection(connection);
  });
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: server.address().port,
    close: () => {
      for (const socket of server.clients) socket.terminate();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
