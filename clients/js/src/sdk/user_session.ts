// What an access token says, without asking anybody, and asking with a cache: for route guards.
import { fromBase64, text } from '../bytes.js';
import { isRaymeshError } from '../errors.js';

export interface CurrentUser {
  id: string;
  email: string;
  role?: string;
  claims?: Record<string, unknown>;
}
export interface DecodedSession {
  sub: string;
  email?: string;
  role?: string;
  claims?: Record<string, unknown>;
  /** Seconds since 1970. */
  exp?: number;
  iat?: number;
  [claim: string]: unknown;
}
export interface SessionResult {
  /** `unavailable`: it could not be verified; `user` is what the token says. */
  status: 'active' | 'expired' | 'anonymous' | 'unavailable';
  user: CurrentUser | null;
  verified: boolean;
  expiresAt?: number;
}
export interface UserSessionOptions {
  /** How long a verified answer is used again. Default 60,000. */
  ttlMs?: number;
  /** Default 5,000. */
  verifyTimeoutMs?: number;
}

/** The token's claims. Its signature is not checked: this proves nothing. */
export function decodeAccessToken(token: string): DecodedSession | null {
  try {
    const claims = JSON.parse(text(fromBase64(token.split('.')[1] ?? ''))) as DecodedSession;
    return typeof claims?.sub === 'string' ? claims : null;
  } catch {
    return null;
  }
}

const kMostCached = 10_000;

export class UserSessions {
  // Its keys are tokens: whoever logs a client does not see it.
  readonly #cache = new Map<string, { result: SessionResult; until: number }>();

  constructor(
    private readonly me: (accessToken: string, timeout: number) => Promise<CurrentUser | null>,
    private readonly options: UserSessionOptions = {},
  ) {}

  async get(accessToken: string, mode: 'optimistic' | 'verified' = 'optimistic'): Promise<SessionResult> {
    const claims = decodeAccessToken(accessToken);
    if (!claims) return { status: 'anonymous', user: null, verified: false };
    const expiry = claims.exp === undefined ? {} : { expiresAt: claims.exp };
    if (claims.exp !== undefined && Date.now() / 1000 >= claims.exp) return { status: 'expired', user: null, verified: false, ...expiry };
    const user: CurrentUser = { id: claims.sub, email: claims.email ?? '' };
    if (claims.role !== undefined) user.role = claims.role;
    if (claims.claims !== undefined) user.claims = claims.claims;
    const said: SessionResult = { status: 'active', user, verified: false, ...expiry };
    if (mode === 'optimistic') return said;
    const known = this.#cache.get(accessToken);
    if (known && known.until > Date.now()) return known.result;
    try {
      const verified = await this.me(accessToken, this.options.verifyTimeoutMs ?? 5_000);
      const result: SessionResult = verified ? { status: 'active', user: verified, verified: true, ...expiry } : { status: 'anonymous', user: null, verified: true };
      if (this.#cache.size >= kMostCached) this.#cache.clear();
      this.#cache.set(accessToken, { result, until: Date.now() + (this.options.ttlMs ?? 60_000) });
      return result;
    } catch (error) {
      if (isRaymeshError(error) && error.status === 401) return { status: 'anonymous', user: null, verified: true };
      return { ...said, status: 'unavailable' };
    }
  }
}
