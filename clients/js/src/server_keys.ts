// The servers' keys from the gateway itself, where the way to it can be trusted.
import { fromBase64 } from './bytes.js';
import { networkError, RaymeshError } from './errors.js';
import type { ServerKey } from './handshake.js';

const kLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** From GET /api/v1/raystream/key. Over HTTPS, or on loopback; anywhere else keys have to be pinned. */
export async function fetchServerKeys(url: string, apiKey: string, timeoutMs: number): Promise<ServerKey[]> {
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
  let response: Response;
  try {
    response = await fetch(source, { headers: { authorization: `Bearer ${apiKey}` }, signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw networkError(`${source} cannot be read`, error);
  }
  if (!response.ok) {
    const { error = '', code = 'server_keys_unknown' } = (await response.json().catch(() => ({}))) as { error?: string; code?: string };
    const errorCode = response.status === 401 ? 'UNAUTHORIZED' : response.status === 429 ? 'RATE_LIMITED' : response.status >= 500 ? 'SERVICE_UNAVAILABLE' : 'NOT_FOUND';
    throw new RaymeshError(error || `${source} answers ${response.status}`, { status: response.status, code, errorCode });
  }
  const { keys } = (await response.json()) as { keys: { id: string; algorithm: string; publicKey: string }[] };
  return keys.filter(({ algorithm }) => algorithm === 'ed25519').map(({ id, publicKey }) => ({ id, publicKey: fromBase64(publicKey) }));
}
