// semantics A2 through the SDK: signup, login, me, sessions, cookies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSessionToken, serializeSessionCookie } from '@dontcode2/backend';
import { http, otherProject, rejects, sdk, unique } from './client.mjs';

const password = 'correct horse battery';
const address = () => `${unique('user')}@example.com`;

async function account(client = sdk()) {
  const email = address();
  const signup = await client.auth.signup({ email, password, name: 'Ada' });
  const login = await client.auth.login({ email, password });
  return { email, signup, login, token: login.tokens.AccessToken };
}

test('signup, login and me give the same user', async () => {
  const { email, signup, login, token } = await account();
  assert.equal(signup.success, true);
  assert.equal(signup.verified, true);
  assert.equal(login.success, true);
  assert.equal(login.userId, signup.userId);
  assert.equal(login.tokens.ExpiresIn, 604800);
  const { user } = await sdk().auth.me({ accessToken: token });
  assert.equal(user.id, signup.userId);
  assert.equal(user.email, email);
});

test('the access token is a signed JWT with the promised claims', async () => {
  const { email, signup, token } = await account();
  const [head, body, signature] = token.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url'));
  assert.equal(header.alg, 'HS256');
  assert.equal(typeof header.kid, 'string');
  assert.ok(signature.length >= 43);
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  assert.equal(claims.sub, signup.userId);
  assert.equal(claims.email, email);
  assert.equal(typeof claims.jti, 'string');
  assert.equal(claims.exp - claims.iat, 604800);
  assert.ok(Math.abs(claims.iat - Date.now() / 1000) < 60);
});

test('a second signup with the address, in any case, is 409 EmailExists', async () => {
  const { email } = await account();
  await rejects(sdk().auth.signup({ email, password }), 409, 'EmailExists');
  await rejects(sdk().auth.signup({ email: email.toUpperCase(), password }), 409, 'EmailExists');
  const login = await sdk().auth.login({ email: email.toUpperCase(), password });
  assert.equal(login.success, true);
});

test('a wrong password and an unknown address get the same answer', async () => {
  const { email } = await account();
  const wrong = await http('POST', '/api/v1/auth/login', { body: { email, password: 'not the password' } });
  const unknown = await http('POST', '/api/v1/auth/login', { body: { email: address(), password } });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.json.error, 'Invalid email or password');
  assert.equal(unknown.status, wrong.status);
  assert.equal(unknown.text, wrong.text);
});

test('missing fields are 400 with the documented text', async () => {
  for (const path of ['signup', 'login']) {
    for (const body of [{}, { email: 'a@example.com' }, { password }, { email: '', password }, { email: 5, password: {} }]) {
      const r = await http('POST', `/api/v1/auth/${path}`, { body });
      assert.equal(r.status, 400, `${path} ${JSON.stringify(body)} ${r.text}`);
    }
    const r = await http('POST', `/api/v1/auth/${path}`, { body: {} });
    assert.equal(r.json.error, 'Email and password are required');
  }
});

test('weak passwords, bad addresses and self-chosen roles are refused', async () => {
  await rejects(sdk().auth.signup({ email: address(), password: 'short' }), 400, 'weak_password');
  await rejects(sdk().auth.signup({ email: address(), password: 'x'.repeat(10_000) }), 400, 'weak_password');
  await rejects(sdk().auth.signup({ email: 'not an address', password }), 400, 'invalid_email');
  await rejects(sdk().auth.signup({ email: address(), password, role: 'admin' }), 400, 'role_not_allowed');
});

test('me is 200 with null for anything that proves no live session', async () => {
  const { token } = await account();
  const [head, body, signature] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url')), sub: 'someone else' })).toString('base64url');
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const flipped = signature.slice(0, -2) + (signature.endsWith('AA') ? 'BB' : 'AA');
  for (const bad of ['', 'x', 'a.b.c', `${head}.${forged}.${signature}`, `${none}.${body}.`, `${head}.${body}.${flipped}`, 'y'.repeat(20_000)]) {
    const r = await http('POST', '/api/v1/auth/me', { body: {}, headers: bad ? { 'x-access-token': bad } : {} });
    if (bad.length > 10_000 && r.status === 431) continue; // more header than the gateway takes
    assert.equal(r.status, 200, bad.slice(0, 60));
    assert.deepEqual(r.json, { user: null });
  }
});

test('a token of one project is nobody in another', async () => {
  const { token } = await account();
  assert.deepEqual(await otherProject().auth.me({ accessToken: token }), { user: null });
});

test('accounts of two projects with one address are apart', async () => {
  const { email } = await account();
  await rejects(otherProject().auth.login({ email, password }), 401);
  const other = await otherProject().auth.signup({ email, password: 'another password' });
  assert.equal(other.success, true);
  await rejects(sdk().auth.login({ email, password: 'another password' }), 401);
});

test('getSession answers offline and verified', async () => {
  const client = sdk();
  const { signup, token } = await account(client);
  const optimistic = await client.auth.getSession({ accessToken: token });
  assert.equal(optimistic.status, 'active');
  assert.equal(optimistic.verified, false);
  assert.equal(optimistic.user.id, signup.userId);
  const verified = await client.auth.getSession({ accessToken: token, mode: 'verified' });
  assert.equal(verified.status, 'active');
  assert.equal(verified.verified, true);
  assert.equal(verified.user.id, signup.userId);
  const [head, body] = token.split('.');
  const forged = await client.auth.getSession({ accessToken: `${head}.${body}.AAAA`, mode: 'verified' });
  assert.deepEqual({ status: forged.status, user: forged.user }, { status: 'anonymous', user: null });
});

test('getSession says unavailable, not signed out, when nobody answers', async () => {
  const { token } = await account();
  const dead = sdk({ baseUrl: 'http://127.0.0.1:9', timeoutMs: 500 });
  const session = await dead.auth.getSession({ accessToken: token, mode: 'verified' });
  assert.equal(session.status, 'unavailable');
});

test('the session cookie carries the token there and back', async () => {
  const client = sdk();
  const { signup, token } = await account(client);
  const cookie = serializeSessionCookie(token).split(';')[0];
  assert.equal(readSessionToken(`a=b; ${cookie}`), token);
  const session = await client.auth.sessionFromCookies(`theme=dark; ${cookie}`, { mode: 'verified' });
  assert.equal(session.user.id, signup.userId);
});

test('many logins at once all succeed or say 429, and each has its own session', async () => {
  const client = sdk({ timeoutMs: 30_000 });
  const { email } = await account(client);
  const results = await Promise.allSettled(Array.from({ length: 12 }, () => client.auth.login({ email, password })));
  const good = results.filter((r) => r.status === 'fulfilled').map((r) => r.value);
  for (const r of results.filter((x) => x.status === 'rejected')) assert.equal(r.reason.status, 429);
  assert.ok(good.length >= 2, `${good.length} logins succeeded`);
  const ids = new Set(good.map((g) => client.auth.decodeToken(g.tokens.AccessToken).jti));
  assert.equal(ids.size, good.length);
});

test('unicode in name, address and password', async () => {
  const email = `${unique('ü')}@exämple.com`;
  const r = await http('POST', '/api/v1/auth/signup', { body: { email, password: 'pässwörd 日本 🔑', name: '名前' } });
  assert.ok([200, 400].includes(r.status), r.text);
  if (r.status === 200) {
    const login = await sdk().auth.login({ email, password: 'pässwörd 日本 🔑' });
    assert.equal(login.userId, r.json.userId);
  } else {
    assert.equal(r.json.code, 'invalid_email');
  }
});
