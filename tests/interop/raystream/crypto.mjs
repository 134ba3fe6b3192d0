// The primitives of the protocol page by Node's own crypto, and its key schedule.
import * as node from 'node:crypto';

const pkcs8 = { x25519: '302e020100300506032b656e04220420', ed25519: '302e020100300506032b657004220420' };
const spki = { x25519: '302a300506032b656e032100', ed25519: '302a300506032b6570032100' };

const privateKey = (kind, raw) =>
  node.createPrivateKey({ key: Buffer.concat([Buffer.from(pkcs8[kind], 'hex'), raw]), format: 'der', type: 'pkcs8' });
const publicKey = (kind, raw) =>
  node.createPublicKey({ key: Buffer.concat([Buffer.from(spki[kind], 'hex'), raw]), format: 'der', type: 'spki' });
const rawPublic = (key) => node.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);

export const newPrivate = () => node.randomBytes(32);
export const x25519Public = (raw) => rawPublic(privateKey('x25519', raw));
export const ed25519Public = (seed) => rawPublic(privateKey('ed25519', seed));
export const sign = (seed, text) => node.sign(null, text, privateKey('ed25519', seed));
export const verify = (pub, text, signature) => node.verify(null, text, publicKey('ed25519', pub), signature);
export const sha256 = (...parts) => node.createHash('sha256').update(Buffer.concat(parts)).digest();
export const hmac = (key, ...parts) => node.createHmac('sha256', key).update(Buffer.concat(parts)).digest();
export const equal = (a, b) => a.length === b.length && node.timingSafeEqual(a, b);

// Null when it is 32 zero bytes: OpenSSL refuses those points itself.
export function shared(own, theirs) {
  try {
    const secret = node.diffieHellman({ privateKey: privateKey('x25519', own), publicKey: publicKey('x25519', theirs) });
    return secret.every((b) => b === 0) ? null : secret;
  } catch {
    return null;
  }
}

// RFC 5869 section 2.3 for the first 32 bytes: T(1) = HMAC(secret, info | 0x01).
export const expand = (secret, ...info) => hmac(secret, ...info, Buffer.of(1));

export const trafficKey = (secret) => expand(secret, Buffer.from('raystream-v1 key'));
export const nextSecret = (secret) => expand(secret, Buffer.from('raystream-v1 next'));
export const signedText = (init, hello) => Buffer.concat([Buffer.from('raystream-v1 server\0'), sha256(init, hello)]);
export const resumePsk = (resumption) => expand(resumption, Buffer.from('raystream-v1 resume psk'));
export const binder = (resumption, header, offer) =>
  hmac(expand(resumption, Buffer.from('raystream-v1 binder key')), Buffer.from('raystream-v1 binder\0'), sha256(header, offer));

// Everything that both ends derive from one handshake.
export function schedule({ shared, psk = Buffer.alloc(0), sessionId, clientPub, serverPub, initFrame, responseHeader, responsePayload }) {
  const h = sha256(initFrame, responseHeader, responsePayload);
  const prk = hmac(Buffer.from('raystream-v1'), shared, psk);
  const sessionKey = expand(prk, Buffer.from(sessionId), clientPub, serverPub);
  return {
    h,
    sessionKey,
    c2s: expand(sessionKey, Buffer.from('raystream-v1 c2s'), h),
    s2c: expand(sessionKey, Buffer.from('raystream-v1 s2c'), h),
    resumption: expand(sessionKey, Buffer.from('raystream-v1 resumption'), h),
  };
}

const kTag = 16;

export function seal(cipher, key, nonce, aad, plaintext) {
  const c = node.createCipheriv(cipher, key, nonce, { authTagLength: kTag });
  c.setAAD(aad, { plaintextLength: plaintext.length });
  return Buffer.concat([c.update(plaintext), c.final(), c.getAuthTag()]);
}

// Null when the tag does not fit.
export function open(cipher, key, nonce, aad, sealed) {
  const c = node.createDecipheriv(cipher, key, nonce, { authTagLength: kTag });
  c.setAAD(aad, { plaintextLength: sealed.length - kTag });
  c.setAuthTag(sealed.subarray(sealed.length - kTag));
  try {
    return Buffer.concat([c.update(sealed.subarray(0, sealed.length - kTag)), c.final()]);
  } catch {
    return null;
  }
}

export const confirmationTag = (cipher, s2c, h) => seal(cipher, trafficKey(s2c), Buffer.alloc(12), h, Buffer.alloc(0));
