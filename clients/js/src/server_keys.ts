// The servers' keys from the gateway itself, where the way to it can be trusted.
import { fromBase64 } from './bytes.js';
import { networkError, RaymeshError } from './errors.js';
import type { ServerKey } from './handshake.js';

const kLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

const unknown = (status: number, message: string, code = 'server_keys_unknown'): RaymeshError => {
  const errorCode = status === 401 ? 'UNAUTHORIZED' : status === 429 ? 'RATE_LIMITED' : status >= 500 ? 'SERVICE_UNAVAILABLE' : 'NOT_FOUND';
  return new RaymeshError(message, { status, code, errorCode });
};

function readKeys(body: string): ServerKey[] {
  const keys: ServerKey[] = [];
  try {
    for (const { id, algorithm, publicKey } of (JSON.parse(body) as { keys: { id: string; algorithm: string; publicKey: string }[] }).keys) {
      const bytes = algorithm === 'ed25519' ? fromBase64(publicKey) : new Uint8Array();
      if (bytes.length === 32) keys.push({ id, publicKey: bytes });
    }
  } catch {} // no such answer: not of a gateway
  return keys;
}

/** From GET /api/v1/raystream/key. Over HTTPS, or on loopback; anywhere else keys have to be pinned. `signal` gives it up. */
export async function fetchServerKeys(url: string, apiKey: string, timeoutMs: number, signal: AbortSignal): Promise<ServerKey[]> {
  const at = new URL(url);
  const secure = at.protocol === 'https:' || at.protocol === 'wss:';
  if (at.protocol === 'tcp:' || (!secure && !kLoopback.test(at.hostname)))
    throw new RaymeshError(`the server's keys cannot be read from ${at.host} in a way that could be trusted: give them as serverKeys`, {
      status: 0,
      code: 'server_keys_needed',
      errorCode: 'UNAUTHORIZED',
      retryable: false,
    });
  const source = `${secure ? 'https' : 'http'}://${at.host}/api/v1/raystream/key`;
  const over = new AbortController();
  const stop = (): void => over.abort();
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener('abort', stop, { once: true });
  let response: Response;
  let body: string;
  try {
    // Where a redirect leads to is as safe as that is, which nobody has looked at.
    response = await fetch(source, { headers: { authorization: `Bearer ${apiKey}` }, redirect: 'manual', signal: over.signal });
    body = await response.text();
  } catch (error) {
    throw networkError(over.signal.aborted ? `${source} did not answer within ${timeoutMs} ms` : `${source} cannot be read`, error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
  if (!response.ok) {
    let said: { error?: string; code?: string } = {};
    try {
      said = JSON.parse(body) as typeof said;
    } catch {} // no word of a gateway
    throw unknown(response.status, said?.error || `${source} answers ${response.status || 'with a redirect'}`, said?.code);
  }
  const keys = readKeys(body);
  if (keys.length === 0) throw unknown(response.status, `what ${source} answers has no key: is it a gateway's address?`);
  return keys;
}
