// The server that a team would write by hand: Node's http, a JWT checked on each request, one prepared SELECT
// through `pg`. Usage: node pg_api.mjs PORT SOCKET_DIR USER PASSWORD DATABASE TABLE; prints a token, then "ready".
import { createSecretKey, randomBytes } from 'node:crypto';
import http from 'node:http';
import jwt from 'jsonwebtoken';
import pg from 'pg';

const [port, host, user, password, database, table] = process.argv.slice(2);
// A KeyObject and not a string: jsonwebtoken would otherwise try to parse the secret as a PEM key each time.
const key = createSecretKey(randomBytes(32));
const pool = new pg.Pool({ host, user, password, database, max: 8 });
const text = `SELECT id, owner, title, body, score FROM ${table} WHERE id = $1`;

function answer(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  try {
    jwt.verify((request.headers.authorization ?? '').replace(/^Bearer /, ''), key, { algorithms: ['HS256'] });
  } catch {
    return answer(response, 401, { error: 'unauthorized' });
  }
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    try {
      const { id } = JSON.parse(Buffer.concat(parts));
      const { rows } = await pool.query({ name: 'by-id', text, values: [id] });
      answer(response, 200, { data: rows[0] ?? null });
    } catch (error) {
      answer(response, 500, { error: String(error) });
    }
  });
});
server.listen(Number(port), '127.0.0.1', 4096, () => {
  console.log(jwt.sign({ sub: 'u1' }, key, { algorithm: 'HS256', expiresIn: '1h' }));
  console.log('ready');
});
