// Every formula of the protocol page's "Keys".
import { utf8 } from './bytes.js';
import type { CipherName, Platform } from './platform.js';

/** HKDF-Expand (RFC 5869 section 2.3) to 32 bytes, which is its first block. */
export const expand = (p: Platform, secret: Uint8Array, ...info: Uint8Array[]): Uint8Array => p.hmac(secret, ...info, Uint8Array.of(1));

const label = (name: string): Uint8Array => utf8(`raystream-v1 ${name}`);

export const trafficKey = (p: Platform, secret: Uint8Array): Uint8Array => expand(p, secret, label('key'));
export const nextSecret = (p: Platform, secret: Uint8Array): Uint8Array => expand(p, secret, label('next'));
export const resumePsk = (p: Platform, resumption: Uint8Array): Uint8Array => expand(p, resumption, label('resume psk'));

export const binder = (p: Platform, resumption: Uint8Array, header: Uint8Array, offer: Uint8Array): Uint8Array =>
  p.hmac(expand(p, resumption, label('binder key')), utf8('raystream-v1 binder\0'), p.sha256(header, offer));

/** What the server has signed. */
export const signedText = (p: Platform, init: Uint8Array, hello: Uint8Array): Uint8Array[] => [utf8('raystream-v1 server\0'), p.sha256(init, hello)];

export interface Secrets {
  hash: Uint8Array;
  c2s: Uint8Array;
  s2c: Uint8Array;
  resumption: Uint8Array;
}

export function deriveSecrets(
  p: Platform,
  input: { shared: Uint8Array; psk?: Uint8Array | undefined; sessionId: Uint8Array; clientPub: Uint8Array; serverPub: Uint8Array; hash: Uint8Array },
): Secrets {
  const { shared, psk = new Uint8Array(), hash } = input;
  const extracted = p.hmac(utf8('raystream-v1'), shared, psk);
  const sessionKey = expand(p, extracted, input.sessionId, input.clientPub, input.serverPub);
  const secrets = {
    hash,
    c2s: expand(p, sessionKey, label('c2s'), hash),
    s2c: expand(p, sessionKey, label('s2c'), hash),
    resumption: expand(p, sessionKey, label('resumption'), hash),
  };
  for (const bytes of [shared, psk, extracted, sessionKey]) bytes.fill(0);
  return secrets;
}

/** Whether RESPONSE's tag is the one that these secrets give: the server has them, too. */
export async function confirms(p: Platform, cipher: CipherName, secrets: Secrets, tag: Uint8Array): Promise<boolean> {
  const key = trafficKey(p, secrets.s2c);
  const opened = await p.aead(cipher, key).open(new Uint8Array(12), secrets.hash, tag);
  key.fill(0);
  return opened !== null;
}
