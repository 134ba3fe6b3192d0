// What differs between Node and browsers: the primitives' implementations, and TCP.
import type { Transport } from './transport.js';

export type CipherName = 'chacha20-poly1305' | 'aes-256-gcm';

/** One key. Nonces are the caller's. Native ciphers answer at once, WebCrypto's later. */
export interface Aead {
  /** Ciphertext and tag. */
  seal(nonce: Uint8Array, aad: Uint8Array, text: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Null when the tag does not fit. */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null | Promise<Uint8Array | null>;
  /** Overwrites the key, where it can be reached. Not while one of the others runs. */
  wipe?(): void;
}

export interface Platform {
  /** What is offered if nothing else is asked for. */
  readonly ciphers: readonly CipherName[];
  newKeyPair(): { secret: Uint8Array; public: Uint8Array };
  /** X25519; null when the result is zero (a point of low order). */
  shared(secret: Uint8Array, theirs: Uint8Array): Uint8Array | null;
  /** Ed25519. */
  verify(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean;
  sha256(...parts: Uint8Array[]): Uint8Array;
  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array;
  aead(cipher: CipherName, key: Uint8Array): Aead;
  /** Where there is TCP. */
  connectTcp?(host: string, port: number): Transport;
}
