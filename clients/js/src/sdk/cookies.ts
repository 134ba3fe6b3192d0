// The session cookie as text: to write as Set-Cookie, and to read from Cookie.
export interface SessionCookieOptions {
  /** Default `dc_access_token`. */
  name?: string;
  /** Seconds; default one week. */
  maxAge?: number;
  path?: string;
  domain?: string;
  secure?: boolean;
  httpOnly?: boolean;
  /** `none` makes it Secure. */
  sameSite?: 'lax' | 'strict' | 'none';
}

const kName = 'dc_access_token';
const kWeek = 7 * 24 * 3600;

function serialize(value: string, maxAge: number, options: SessionCookieOptions): string {
  const sameSite = options.sameSite ?? 'lax';
  const parts = [`${options.name ?? kName}=${encodeURIComponent(value)}`, `Path=${options.path ?? '/'}`, `Max-Age=${Math.floor(maxAge)}`];
  if (options.domain) parts.push(`Domain=${options.domain}`);
  if (options.httpOnly ?? true) parts.push('HttpOnly');
  if ((options.secure ?? true) || sameSite === 'none') parts.push('Secure');
  parts.push(`SameSite=${sameSite[0]!.toUpperCase()}${sameSite.slice(1)}`);
  return parts.join('; ');
}

export const serializeSessionCookie = (token: string, options: SessionCookieOptions = {}): string => serialize(token, options.maxAge ?? kWeek, options);
export const clearSessionCookie = (options: SessionCookieOptions = {}): string => serialize('', 0, options);

export function readSessionToken(cookieHeader: string | null | undefined, name = kName): string | null {
  for (const pair of (cookieHeader ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at < 0 || pair.slice(0, at).trim() !== name) continue;
    const raw = pair.slice(at + 1).trim();
    if (!raw) return null;
    try {
      return decodeURIComponent(raw);
    } catch {
      return raw;
    }
  }
  return null;
}
