// Browsers, and whatever else has no Node: AES-256-GCM by WebCrypto, the rest by the audited @noble libraries. (WebCrypto's X25519 and
// Ed25519 are too young to be relied on, and it has no ChaCha20-Poly1305.)
import { chacha20poly1305 } from '@noble/ciphers/chacha';
import { ed25519, x25519 } from '@noble/curves/ed25519';
import { hmac } from '@noble/hashes/hmac';
import { sha256 } from '@noble/hashes/sha2';
import { concat, isZero } from './bytes.js';
import type { Aead, Platform } from './platform.js';

// Not there outside of secure contexts (plain HTTP that is not loopback).
const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;

function chacha(key: Uint8Array): Aead {
  return {
    seal: (nonce, aad, text) => chacha20poly1305(key, nonce, aad).encrypt(text),
    open(nonce, aad, sealed) {
      try {
        return chacha20poly1305(key, nonce, aad).decrypt(sealed);
      } catch {
        return null;
      }
    },
    wipe: () => void key.fill(0),
  };
}

function gcm(key: Uint8Array): Aead {
  if (!subtle) throw new Error('AES-256-GCM needs WebCrypto, which browsers have in secure contexts only');
  // Taken before this function returns: the caller wipes its copy.
  const imported = subtle.importKey('raw', Uint8Array.from(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const parameters = (nonce: Uint8Array, aad: Uint8Array) => ({ name: 'AES-GCM', iv: nonce as BufferSource, additionalData: aad as BufferSource, tagLength: 128 });
  return {
    seal: async (nonce, aad, text) => new Uint8Array(await subtle.encrypt(parameters(nonce, aad), await imported, text as BufferSource)),
    async open(nonce, aad, sealed) {
      const ready = await imported;
      try {
        return new Uint8Array(await subtle.decrypt(parameters(nonce, aad), ready, sealed as BufferSource));
      } catch {
        return null;
      }
    },
  };
}

export const platform: Platform = {
  ciphers: subtle ? ['aes-256-gcm'] : ['chacha20-poly1305'],
  newKeyPair() {
    const secret = x25519.utils.randomSecretKey();
    return { secret, public: x25519.getPublicKey(secret) };
  },
  shared(secret, theirs) {
    try {
      const result = x25519.getSharedSecret(secret, theirs);
      return isZero(result) ? null : result;
    } catch {
      return null;
    }
  },
  verify(publicKey, text, signature) {
    try {
      return ed25519.verify(signature, text, publicKey, { zip215: false });
    } catch {
      return false;
    }
  },
  sha256: (...parts) => sha256(concat(...parts)),
  hmac: (key, ...parts) => hmac(sha256, key, concat(...parts)),
  aead: (cipher, key) => (cipher === 'aes-256-gcm' ? gcm(key) : chacha(Uint8Array.from(key))),
};
