// Bytes and their text forms, without Node's Buffer.

export function concat(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8');

export const utf8 = (text: string): Uint8Array => encoder.encode(text);
/** Throws for what is not UTF-8. */
export const text = (bytes: Uint8Array): string => strict.decode(bytes);
/** For people: what is not UTF-8 becomes U+FFFD. */
export const readable = (bytes: Uint8Array): string => lenient.decode(bytes);

/** Whether they are the same, in a time that depends on their length only. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let i = 0; i < a.length; ++i) different |= a[i]! ^ b[i]!;
  return different === 0;
}

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** RFC 4648 section 5 (base64url) and section 4 (base64), with or without padding. */
export function fromBase64(encoded: string): Uint8Array {
  const binary = atob(encoded.replace(/-/g, '+').replace(/_/g, '/').replace(/=+$/, ''));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}
