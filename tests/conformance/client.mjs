// What every conformance test starts from: the SDK pointed at the cluster under test, or our own client over raystream in its place
// (RAYMESH_CLIENT=raystream), and small helpers.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after } from 'node:test';
import { dontcode } from '@dontcode2/backend';
import WebSocket from 'ws';

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with tests/run.mjs`);
  return value;
}

export const url = setting('RAYMESH_URL');
export const apiKey = setting('RAYMESH_API_KEY');
export const otherKey = setting('RAYMESH_OTHER_API_KEY');

export const overRaystream = process.env.RAYMESH_CLIENT === 'raystream';
const { raymesh } = overRaystream ? await import('../../clients/js/dist/esm/index.js') : {};
// One session for the same options, as an application has it; without its end the process would not end.
const clients = new Map();
after(async () => {
  // What a file has tested went over a session and not somehow else.
  if (overRaystream) assert.ok([...clients.values()].some((client) => client.raystream.sessionId), 'no session was attached');
  await Promise.all([...clients.values()].map((client) => client.close()));
});

function connect(options) {
  if (!overRaystream) return dontcode(options);
  const key = JSON.stringify(options);
  if (!clients.has(key)) clients.set(key, raymesh({ ...options, webSocket: WebSocket }));
  return clients.get(key);
}

/** The SDK's client; `options` as the SDK takes them. */
export const sdk = (options = {}) => connect({ baseUrl: url, apiKey, ...options });
/** A client of a second project on the same cluster. */
export const otherProject = () => connect({ baseUrl: url, apiKey: otherKey });

const nodes = setting('RAYMESH_REALTIME_URLS').split(',');
let turn = 0;
/** Where to open the next socket: any realtime node is as good as the one that a token names, so that they take turns. */
export const realtimeUrl = (named) => (nodes.length > 1 ? nodes[turn++ % nodes.length] : named);

/** A name that no other test uses. */
export const unique = (prefix) => `${prefix}_${randomBytes(5).toString('hex')}`;

/** Plain HTTP: {status, headers, text, json}. */
export async function http(method, path, { body, headers = {}, key = apiKey } = {}) {
  const all = { ...headers };
  if (key) all.authorization = `Bearer ${key}`;
  if (body !== undefined && !('content-type' in all)) all['content-type'] = 'application/json';
  const response = await fetch(url + path, {
    method,
    headers: all,
    body: body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/** Runs `promise` and asserts that the SDK throws this status and code; returns the error. */
export async function rejects(promise, status, code) {
  let error;
  try {
    const value = await promise;
    assert.fail(`expected ${status} ${code ?? ''}, got ${JSON.stringify(value)}`);
  } catch (caught) {
    if (caught.code === 'ERR_ASSERTION') throw caught;
    error = caught;
  }
  assert.equal(error.name, 'DontCodeError', error.stack);
  assert.deepEqual({ status: error.status, code: error.code }, { status, code: code ?? error.code }, error.message);
  assert.ok(error.message.length > 0);
  return error;
}

/** Creates a table in the first project and gives its handle. `columns` is SQL. */
export async function table(columns, client = sdk()) {
  const name = unique('t');
  await client.db.migrate({ sql: `CREATE TABLE ${name} (${columns})` });
  return Object.assign(client.db(name), { sqlName: name });
}

/** Polls until `condition()` gives something truthy, and returns it. */
export async function eventually(condition, what, ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) assert.fail(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
