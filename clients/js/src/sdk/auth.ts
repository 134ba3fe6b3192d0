// client.auth: accounts and access tokens.
import { MessageType } from '../messages.js';
import type { CallOptions, Session } from '../session.js';
import { readSessionToken } from './cookies.js';
import { decodeAccessToken, UserSessions, type CurrentUser, type DecodedSession, type SessionResult, type UserSessionOptions } from './user_session.js';

export interface SignupResult {
  success: boolean;
  userId?: string;
  verified?: boolean;
  verification_required?: boolean;
  message?: string;
}
export interface LoginResult {
  success: boolean;
  userId?: string;
  tokens?: { AccessToken: string; ExpiresIn: number };
  mfa_required?: boolean;
  challenge_token?: string;
  challenge_expires_in?: number;
}
export interface InfoResult {
  project: { id: string; name: string | null };
  credential: { type: string; role: string | null; user_id: string | null };
  capabilities: Record<string, boolean>;
}

// raymesh.auth.v1: as JSON the method is about the session's own token, as Protobuf about any.
const VerifyTokenRequest = new MessageType<{ accessToken: string }>({ 1: ['accessToken', 'string'] });
const VerifyTokenReply = new MessageType<{ valid: boolean; userId: string; email: string; role: string; claimsJson: string }>({
  1: ['valid', 'bool'],
  2: ['userId', 'string'],
  3: ['email', 'string'],
  4: ['role', 'string'],
  5: ['claimsJson', 'string'],
});

export class AuthApi {
  private readonly sessions: UserSessions;

  constructor(
    private readonly session: Session,
    options?: UserSessionOptions,
  ) {
    this.sessions = new UserSessions(async (accessToken, timeout) => (await this.me({ accessToken, timeoutMs: timeout })).user, options);
  }

  signup(input: { email: string; password: string; name?: string; role?: string }, call?: CallOptions): Promise<SignupResult> {
    const { email, password, name, role } = input;
    return this.session.call('auth.signup', { email, password, name, role }, call);
  }
  login(input: { email: string; password: string }, call?: CallOptions): Promise<LoginResult> {
    return this.session.call('auth.login', { email: input.email, password: input.password }, call);
  }
  info(call?: CallOptions): Promise<InfoResult> {
    return this.session.call('info', {}, call);
  }
  /** Null: the token is missing, malformed, expired or revoked. */
  async me(input: { accessToken: string; timeoutMs?: number }): Promise<{ user: CurrentUser | null }> {
    if (!input.accessToken) return { user: null };
    const options: CallOptions = input.timeoutMs === undefined ? {} : { timeout: input.timeoutMs };
    const reply = VerifyTokenReply.decode(await this.session.call<Uint8Array>('auth.me', VerifyTokenRequest.encode({ accessToken: input.accessToken }), options));
    if (!reply.valid) return { user: null };
    const user: CurrentUser = { id: reply.userId, email: reply.email };
    if (reply.role) user.role = reply.role;
    if (reply.claimsJson) user.claims = JSON.parse(reply.claimsJson) as Record<string, unknown>;
    return { user };
  }
  /** `optimistic` (default): what the token says, unchecked. `verified`: asked, and kept for a minute. */
  getSession(input: { accessToken: string; mode?: 'optimistic' | 'verified' }): Promise<SessionResult> {
    return this.sessions.get(input.accessToken, input.mode);
  }
  async sessionFromCookies(cookieHeader: string | null | undefined, options: { mode?: 'optimistic' | 'verified'; cookieName?: string } = {}): Promise<SessionResult> {
    const token = readSessionToken(cookieHeader, options.cookieName);
    return token ? this.sessions.get(token, options.mode) : { status: 'anonymous', user: null, verified: false };
  }
  decodeToken(token: string): DecodedSession | null {
    return decodeAccessToken(token);
  }
}
