// Publish and subscribe with npm ws, as its documentation shows: /sub/<channel> receives, a message on /pub/<channel> or a POST to
// it goes to every subscriber. Usage: node ws_server.mjs PORT; prints "ready".
import http from 'node:http';
import { WebSocketServer } from 'ws';

const channels = new Map();
const publish = (name, data) => {
  for (const socket of channels.get(name) ?? []) socket.send(data, { binary: false });
};

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    publish(request.url.slice('/pub/'.length), Buffer.concat(parts));
    response.writeHead(200, { 'Content-Length': 2 });
    response.end('ok');
  });
});
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket, request) => {
  const [, kind, name] = request.url.split('/');
  socket.on('error', () => {});
  if (kind === 'pub') {
    socket.on('message', (data) => publish(name, data));
    return;
  }
  if (!channels.has(name)) channels.set(name, new Set());
  channels.get(name).add(socket);
  socket.on('close', () => channels.get(name).delete(socket));
});
server.listen(Number(process.argv[2]), '127.0.0.1', 4096, () => console.log('ready'));
