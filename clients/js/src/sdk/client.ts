// raymesh({...}): the surface of the HTTP package over one raystream session.
import { platform } from '#platform';
import { Session, type CallOptions, type SessionOptions } from '../session.js';
import type { SubscribeOptions, Subscription } from '../subscription.js';
import { AuthApi } from './auth.js';
import { CacheClient } from './cache.js';
import { createDb, type DbClient } from './db.js';
import { RealtimeApi } from './realtime.js';
import type { UserSessionOptions } from './user_session.js';

export interface RaymeshOptions extends Omit<SessionOptions, 'url' | 'apiKey'> {
  /** "https://host" or "wss://host/raystream"; in Node also "tcp://host:4100". Default: DONTCODE_API_URL of the environment. */
  url?: string;
  /** The same under the HTTP package's name. */
  baseUrl?: string;
  /** Default: DONTCODE_API_KEY of the environment. */
  apiKey?: string;
  /** For auth.getSession. */
  session?: UserSessionOptions;
}

export interface RaymeshClient {
  readonly auth: AuthApi;
  readonly db: DbClient;
  readonly cache: CacheClient;
  readonly realtime: RealtimeApi;
  /** Any method of the gateway. */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T>;
  subscribe(name: string, options?: SubscribeOptions): Subscription;
  /** Not needed: the first call connects. */
  connect(): Promise<void>;
  /** Ends the session; without it a process that has connected does not end by itself. */
  close(): Promise<void>;
  /** What is underneath. */
  readonly raystream: Session;
}

const environment = (name: string): string | undefined => (globalThis as { process?: { env?: Record<string, string> } }).process?.env?.[name];

export function raymesh(options: RaymeshOptions = {}): RaymeshClient {
  const url = options.url ?? options.baseUrl ?? environment('DONTCODE_API_URL');
  if (!url) throw new TypeError('raymesh needs the address of a gateway: url, or DONTCODE_API_URL in the environment');
  const session = new Session({ ...options, url, apiKey: options.apiKey ?? environment('DONTCODE_API_KEY') ?? '' }, platform);
  return {
    auth: new AuthApi(session, options.session),
    db: createDb(session),
    cache: new CacheClient(session),
    realtime: new RealtimeApi(session),
    call: (method, args, call) => session.call(method, args, call),
    subscribe: (name, how) => session.subscribe(name, how),
    connect: () => session.connect(),
    close: () => session.close(),
    raystream: session,
  };
}
