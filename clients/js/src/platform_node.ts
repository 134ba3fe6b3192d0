// Node: everything by node:crypto, and TCP.
import * as crypto from 'node:crypto';
import { connect } from 'node:net';
import { isZero } from './bytes.js';
import type { Aead, CipherName, Platform } from './platform.js';
import type { Transport } from './transport.js';

// What stands before the 32 bytes of a key in its DER form (RFC 8410 sections 4 and 7).
const kPrivateX25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const kPublicX25519 = Buffer.from('302a300506032b656e032100', 'hex');
const kPublicEd25519 = Buffer.from('302a300506032b6570032100', 'hex');

const publicKey = (prefix: Buffer, raw: Uint8Array): crypto.KeyObject =>
  crypto.createPublicKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'spki' });

const kTag = 16;

function aead(cipher: CipherName, key: Uint8Array): Aead {
  // Not Buffer.from: that takes small ones from memory which it shares out to all the process.
  const own = Uint8Array.from(key);
  // Both names are OpenSSL's, too; the types know GCM's options only.
  const name = cipher as 'aes-256-gcm';
  return {
    seal(nonce, aad, text) {
      const c = crypto.createCipheriv(name, own, nonce, { authTagLength: kTag });
      c.setAAD(aad, { plaintextLength: text.length });
      return Buffer.concat([c.update(text), c.final(), c.getAuthTag()]);
    },
    open(nonce, aad, sealed) {
      const c = crypto.createDecipheriv(name, own, nonce, { authTagLength: kTag });
      c.setAAD(aad, { plaintextLength: sealed.length - kTag });
      c.setAuthTag(sealed.subarray(sealed.length - kTag));
      const text = c.update(sealed.subarray(0, sealed.length - kTag));
      try {
        c.final();
        return text;
      } catch {
        return null;
      }
    },
    wipe: () => void own.fill(0),
  };
}

// How long the other end may take to close its direction, too.
const kLingerMs = 1000;

function connectTcp(host: string, port: number): Transport {
  const socket = connect({ host, port, noDelay: true });
  const transport: Transport = {
    wholeFrames: false,
    handlers: undefined,
    send: (bytes) => void socket.write(bytes),
    pending: () => socket.writableLength,
    close() {
      if (socket.destroyed) return;
      socket.end();
      // What still comes is thrown away, and so is the socket when the other end, or the way to it, is gone.
      const linger = setTimeout(() => socket.destroy(), kLingerMs);
      socket.once('close', () => clearTimeout(linger));
    },
    abort: () => void socket.destroy(),
  };
  socket.on('connect', () => transport.handlers?.open());
  socket.on('data', (bytes) => transport.handlers?.data(bytes));
  socket.on('drain', () => transport.handlers?.drain());
  socket.on('error', (error) => transport.handlers?.end(error.message));
  socket.on('close', () => transport.handlers?.end('the connection ended'));
  return transport;
}

export const platform: Platform = {
  ciphers: ['chacha20-poly1305', 'aes-256-gcm'],
  newKeyPair() {
    const pair = crypto.generateKeyPairSync('x25519');
    return {
      secret: pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32),
      public: pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
    };
  },
  shared(secret, theirs) {
    try {
      const privateKey = crypto.createPrivateKey({ key: Buffer.concat([kPrivateX25519, secret]), format: 'der', type: 'pkcs8' });
      const result = crypto.diffieHellman({ privateKey, publicKey: publicKey(kPublicX25519, theirs) });
      return isZero(result) ? null : result;
    } catch {
      return null;
    }
  },
  verify(key, text, signature) {
    try {
      return crypto.verify(null, text, publicKey(kPublicEd25519, key), signature);
    } catch {
      return false;
    }
  },
  sha256(...parts) {
    const hash = crypto.createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
  hmac(key, ...parts) {
    const hash = crypto.createHmac('sha256', key);
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
  aead,
  connectTcp,
};
