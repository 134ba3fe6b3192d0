// What goes wrong, in one type.

/** The codes of the protocol, by number; the page's table "Error codes". */
export const kErrorCodes = [
  'NONE',
  'UNAUTHORIZED',
  'FORBIDDEN',
  'NOT_FOUND',
  'INVALID_REQUEST',
  'PERMISSION_DENIED',
  'CONFLICT',
  'RATE_LIMITED',
  'INTERNAL_ERROR',
  'SERVICE_UNAVAILABLE',
  'TIMEOUT',
  'OUTCOME_UNKNOWN',
  'SESSION_EXPIRED',
  'DECRYPTION_FAILED',
  'INVALID_NONCE',
] as const;
export type ErrorCode = (typeof kErrorCodes)[number];

export const errorCode = (number: number): ErrorCode => kErrorCodes[number] ?? 'INTERNAL_ERROR';
export const codeNumber = (code: ErrorCode): number => kErrorCodes.indexOf(code);

export interface RaymeshErrorBody {
  error: string;
  code?: string;
  rate_limit?: boolean;
  timeleft?: number;
  [key: string]: unknown;
}

/**
 * Every failure of a call, a subscription or the session. `status` is that of HTTP (0: no answer came), `code` the precise one of
 * docs/errors.md, `errorCode` the protocol's. Its `name` is that of the HTTP package's error, so that code which tells errors by
 * name, as that package's `isDontCodeError` does, works with both.
 */
export class RaymeshError extends Error {
  override readonly name = 'DontCodeError';
  readonly status: number;
  readonly code: string;
  readonly errorCode: ErrorCode;
  /** Whether the same call may succeed later. It says nothing about whether it may be sent twice. */
  readonly retryable: boolean;
  /** Milliseconds after which to try again; 0: unknown. */
  readonly retryAfterMs: number;
  readonly body: RaymeshErrorBody;

  constructor(message: string, details: { status: number; code: string; errorCode: ErrorCode; retryAfterMs?: number; retryable?: boolean; cause?: unknown }) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.status = details.status;
    this.code = details.code;
    this.errorCode = details.errorCode;
    this.retryAfterMs = details.retryAfterMs ?? 0;
    this.retryable = details.retryable ?? isRetryable(details.errorCode, details.status);
    this.body = { error: message, code: this.code };
    if (this.rateLimited) Object.assign(this.body, { rate_limit: true, timeleft: Math.ceil(this.retryAfterMs / 1000) });
  }

  /** Whether the key or address made too many requests. */
  get rateLimited(): boolean {
    return this.status === 429;
  }
}

// The page, "Retrying": 400 to 499 never, but for RATE_LIMITED.
function isRetryable(code: ErrorCode, status: number): boolean {
  if (code === 'RATE_LIMITED') return true;
  if (status >= 400 && status <= 499) return false;
  return code === 'SERVICE_UNAVAILABLE' || code === 'TIMEOUT' || code === 'SESSION_EXPIRED';
}

export const isRaymeshError = (error: unknown): error is RaymeshError =>
  typeof error === 'object' && error !== null && (error as Error).name === 'DontCodeError';

/** The connection is gone, or was never made. */
export const networkError = (message: string, cause?: unknown): RaymeshError =>
  new RaymeshError(message, { status: 0, code: 'NetworkError', errorCode: 'SERVICE_UNAVAILABLE', retryable: true, cause });

/** A write was sent, and the connection broke before its answer came. */
export const outcomeUnknown = (method: string): RaymeshError =>
  new RaymeshError(`the connection broke after "${method}" was sent: it may or may not have happened. Give it an idempotencyKey to have it repeated safely`, {
    status: 503,
    code: 'outcome_unknown',
    errorCode: 'OUTCOME_UNKNOWN',
    retryable: false,
  });

/** No answer, and no connection either when the time was over. */
export const unreachable = (ms: number, cause: RaymeshError): RaymeshError =>
  new RaymeshError(`there was no connection to the gateway within ${ms} ms; the last attempt: ${cause.message}`, {
    status: cause.status,
    code: cause.code === 'closed' ? 'NetworkError' : cause.code,
    errorCode: cause.errorCode,
    retryable: true,
    cause,
  });

export const timedOut = (what: string, ms: number): RaymeshError =>
  new RaymeshError(`${what} was not answered within ${ms} ms`, { status: 408, code: 'Timeout', errorCode: 'TIMEOUT', retryable: true });

/** Something that only a defect or an attack explains; the session does not go on by itself. */
export const distrust = (message: string): RaymeshError =>
  new RaymeshError(message, { status: 0, code: 'server_not_trusted', errorCode: 'UNAUTHORIZED', retryable: false });

export const subscriptionClosed = (name: string): RaymeshError =>
  new RaymeshError(`the subscription to "${name}" was closed`, { status: 0, code: 'closed', errorCode: 'NONE', retryable: false });

export const sessionClosed = (): RaymeshError =>
  new RaymeshError('the client was closed', { status: 0, code: 'closed', errorCode: 'SESSION_EXPIRED', retryable: false });
