// The client's side of a handshake: what INIT says, and what must be right about RESPONSE.
import { concat, readable, utf8 } from './bytes.js';
import { distrust } from './errors.js';
import { FrameType, headerOf, payloadOf, plainFrame, tagOf, writeHeader } from './frames.js';
import { binder, confirms, deriveSecrets, resumePsk, signedText, type Secrets } from './keys.js';
import { HandshakeInit, HandshakeResponse, Hello, Offer } from './messages.js';
import type { CipherName, Platform } from './platform.js';

/** A server's signing key that is trusted. */
export interface ServerKey {
  id: string;
  /** Ed25519, 32 bytes. */
  publicKey: Uint8Array;
}

/** What is kept of a session to resume it. */
export interface Resumption {
  sessionId: string;
  secret: Uint8Array;
}

export interface HandshakeResult {
  sessionId: string;
  resumed: boolean;
  cipher: CipherName;
  expiresAt: number;
  secrets: Secrets;
}

const kUuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const kBinder = 32;

export class Handshake {
  /** The INIT frame. */
  readonly init: Uint8Array;
  private readonly pair: { secret: Uint8Array; public: Uint8Array };

  constructor(
    private readonly platform: Platform,
    private readonly keys: readonly ServerKey[],
    private readonly ciphers: readonly CipherName[],
    private readonly resumption: Resumption | undefined,
  ) {
    this.pair = platform.newKeyPair();
    const offer = Offer.encode({
      version: 1,
      clientPub: this.pair.public,
      supportedCiphers: ciphers.map(utf8),
      serverKeyId: utf8(keys[0]?.id ?? ''),
      sessionId: utf8(resumption?.sessionId ?? ''),
    });
    const length = HandshakeInit.encode({ offer, binder: new Uint8Array(resumption ? kBinder : 0) }).length;
    const header = writeHeader(FrameType.Init, 0, length);
    const proof = resumption ? binder(platform, resumption.secret, header, offer) : new Uint8Array();
    this.init = plainFrame(FrameType.Init, HandshakeInit.encode({ offer, binder: proof }));
  }

  /** The private key is needed no more. */
  wipe(): void {
    this.pair.secret.fill(0);
  }

  /** In the page's order. Throws RaymeshError `server_not_trusted`; nothing is to be said to the server then. */
  async read(response: Uint8Array): Promise<HandshakeResult> {
    const p = this.platform;
    const payload = payloadOf(response);
    const { hello: bytes, signature } = parse(() => HandshakeResponse.decode(payload));
    const hello = parse(() => Hello.decode(bytes));
    const keyId = readable(hello.serverKeyId);
    const key = this.keys.find(({ id }) => id === keyId);
    if (!key) throw distrust(`the server signs with the key "${keyId}", which is not among the ones that are trusted (${this.keys.map(({ id }) => id).join(', ')})`);
    if (!p.verify(key.publicKey, concat(...signedText(p, this.init, bytes)), signature))
      throw distrust(`the signature is not that of the key "${keyId}": this is another server, or somebody is in between`);
    if (hello.version !== 1) throw distrust(`the server speaks version ${hello.version}`);
    const cipher = readable(hello.selectedCipher) as CipherName;
    if (!this.ciphers.includes(cipher)) throw distrust(`the server has chosen the cipher "${cipher}", which was not offered`);
    const sessionId = readable(hello.sessionId);
    if (!kUuid7.test(sessionId)) throw distrust('the session id is not a UUIDv7');
    if (hello.resumed !== (sessionId === this.resumption?.sessionId)) throw distrust('the server resumes another session than was asked for');
    const shared = hello.serverPub.length === 32 ? p.shared(this.pair.secret, hello.serverPub) : null;
    if (!shared) throw distrust("the server's key is not usable");
    const secrets = deriveSecrets(p, {
      shared,
      psk: hello.resumed ? resumePsk(p, this.resumption!.secret) : undefined,
      sessionId: hello.sessionId,
      clientPub: this.pair.public,
      serverPub: hello.serverPub,
      hash: p.sha256(this.init, headerOf(response), payload),
    });
    this.wipe();
    if (!(await confirms(p, cipher, secrets, tagOf(response)))) throw distrust('the server does not have the keys of this handshake');
    return { sessionId, resumed: hello.resumed, cipher, expiresAt: hello.expiresAt, secrets };
  }
}

function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw distrust(`the server's answer cannot be read: ${(error as Error).message}`);
  }
}
