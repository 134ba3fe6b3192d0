// Calls with npm ws over TLS 1.3: each message is answered with its bytes, repeated to one size. Usage: node ws_echo.mjs PORT CERTIFICATE KEY
// ANSWER_BYTES; prints "ready".
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { WebSocketServer } from 'ws';

const [port, certificate, key, bytes] = process.argv.slice(2);
const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key), minVersion: 'TLSv1.3' });
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data) => socket.send(Buffer.alloc(Number(bytes), data)));
});
server.listen(Number(port), '127.0.0.1', 4096, () => console.log('ready'));
