// semantics A1: keys, envelope, CORS, unknown paths, malformed bodies, HEAD, sizes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey, http, rejects, sdk, url } from './client.mjs';

test('a request without a key gets 401 with the documented text, before routing', async () => {
  for (const path of ['/api/v1/db', '/api/v1/nothing-here', '/api/v1/cache/kv/x']) {
    const r = await http('POST', path, { key: null, body: {} });
    assert.equal(r.status, 401);
    assert.deepEqual(r.json, { error: 'Missing API key. Send it as: Authorization: Bearer <key>', code: 'missing_api_key' });
  }
});

test('an unknown or malformed key gets 401 with a code', async () => {
  for (const key of ['dc_not_a_real_key', 'dc_', 'nonsense', `dc_${'x'.repeat(5000)}`]) {
    const r = await http('POST', '/api/v1/db', { key, body: {} });
    assert.equal(r.status, 401, key.slice(0, 40));
    assert.equal(typeof r.json.error, 'string');
    assert.ok(['invalid_api_key', 'missing_api_key'].includes(r.json.code), r.text);
  }
});

test('the SDK without a key throws the gateway\'s own 401', async () => {
  await rejects(sdk({ apiKey: '' }).db.users.find(), 401);
});

test('OPTIONS is answered 204 before the key check, with every header the SDK sends', async () => {
  const r = await http('OPTIONS', '/api/v1/db', { key: null, headers: { origin: 'http://localhost:3000' } });
  assert.equal(r.status, 204);
  assert.equal(r.headers.get('access-control-allow-origin'), '*');
  const methods = r.headers.get('access-control-allow-methods').split(/,\s*/);
  for (const m of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) assert.ok(methods.includes(m), m);
  const headers = r.headers.get('access-control-allow-headers').toLowerCase().split(/,\s*/);
  for (const h of ['authorization', 'content-type', 'x-access-token', 'x-app-url']) assert.ok(headers.includes(h), h);
});

test('every answer allows every origin, errors too', async () => {
  for (const key of [apiKey, null]) {
    const r = await http('GET', '/api/v1/info', { key });
    assert.equal(r.headers.get('access-control-allow-origin'), '*');
  }
});

test('unknown paths are 404 with the documented texts', async () => {
  const inside = await http('POST', '/api/v1/nothing', { body: {} });
  assert.equal(inside.status, 404);
  assert.equal(inside.json.error, 'Unknown endpoint');
  assert.equal(inside.json.code, 'unknown_endpoint');
  const outside = await http('GET', '/somewhere', { key: null });
  assert.equal(outside.status, 404);
  assert.equal(outside.json.error, 'Not found');
  const auth = await http('POST', '/api/v1/auth/nothing', { body: {} });
  assert.equal(auth.status, 404);
  assert.equal(auth.json.error, 'Unknown auth endpoint');
});

test('GET / says what this is', async () => {
  const r = await http('GET', '/', { key: null });
  assert.equal(r.status, 200);
  assert.equal(r.json.ok, true);
  assert.equal(typeof r.json.service, 'string');
});

test('a wrong method is 405 and names the right ones', async () => {
  const r = await http('GET', '/api/v1/db');
  assert.equal(r.status, 405);
  assert.match(r.headers.get('allow') ?? '', /POST/);
  assert.equal(r.json.code, 'method_not_allowed');
});

test('malformed JSON is 400', async () => {
  for (const body of ['{', '{"operation":"find","tableName":}', '{"operation":"find","tableName":"x"} trailing', '\u0000', '[1,2']) {
    const r = await http('POST', '/api/v1/db', { body });
    assert.equal(r.status, 400, body);
    assert.equal(r.json.code, 'invalid_json', `${JSON.stringify(body)} -> ${r.text}`);
  }
});

test('HEAD answers like GET without a body', async () => {
  const r = await fetch(`${url}/`, { method: 'HEAD' });
  assert.equal(r.status, 200);
  assert.equal(await r.text(), '');
  assert.ok(Number(r.headers.get('content-length')) > 0);
});

test('a body above the limit is 413', async () => {
  const r = await http('POST', '/api/v1/db', { body: `{"x":"${'a'.repeat(40 * 1024 * 1024)}"}` }).catch((e) => e);
  // The gateway may close while we still send; what it answered before is a 413.
  if (!(r instanceof Error)) {
    assert.equal(r.status, 413);
    assert.equal(r.json.code, 'body_too_large');
  }
  const after = await http('GET', '/', { key: null });
  assert.equal(after.status, 200);
});

test('a request id is answered, and a trace is accepted', async () => {
  const r = await http('GET', '/api/v1/info', { headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } });
  assert.equal(r.status, 200);
  assert.ok(r.headers.get('x-request-id'));
});

test('endpoints of later releases answer 501 with a code', async () => {
  const calls = [
    ['POST', '/api/v1/storage', { operation: 'list', bucket: 'public' }],
    ['POST', '/api/v1/notifications/email', { to: ['a@example.com'], subject: 's', markdownText: 'm' }],
    ['POST', '/api/v1/auth/forgot-password', { email: 'a@example.com' }],
  ];
  for (const [method, path, body] of calls) {
    const r = await http(method, path, { body });
    assert.equal(r.status, 501, path);
    assert.equal(r.json.code, 'not_implemented');
  }
});

test('info tells project, credential and capabilities', async () => {
  const info = await sdk().auth.info();
  assert.equal(typeof info.project.id, 'string');
  assert.deepEqual(Object.keys(info.credential).sort(), ['role', 'type', 'user_id']);
  assert.equal(info.credential.type, 'api_key');
  assert.equal(info.credential.user_id, null);
  assert.equal(info.capabilities.database, true);
  for (const value of Object.values(info.capabilities)) assert.equal(typeof value, 'boolean');
});
