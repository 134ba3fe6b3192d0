// client.cache: keys and JSON values.
import { isRaymeshError } from '../errors.js';
import type { CallOptions, Session } from '../session.js';

async function orMiss<T>(answer: Promise<{ value: T }>, miss: T): Promise<T> {
  try {
    return (await answer).value ?? miss;
  } catch (error) {
    if (isRaymeshError(error) && error.status === 404) return miss;
    throw error;
  }
}

export class CacheClient {
  constructor(private readonly session: Session) {}

  private call<T>(method: string, key: string, args: unknown, options?: CallOptions): Promise<T> {
    return this.session.call(`cache.${method}`, args, { ...options, path: encodeURIComponent(key) });
  }

  /** Null: there is none. */
  get<T = unknown>(key: string, call?: CallOptions): Promise<T | null> {
    return orMiss<T | null>(this.call('get', key, {}, call), null);
  }
  /** `ttl` in seconds. False: `nx` was set, and the key exists. */
  async set(key: string, value: unknown, options: { ttl?: number; nx?: boolean } = {}, call?: CallOptions): Promise<boolean> {
    const query = new URLSearchParams();
    if (options.ttl != null) query.set('ttl', String(options.ttl));
    if (options.nx) query.set('nx', 'true');
    return (await this.call<{ set: boolean }>('set', key, value ?? null, { ...call, query: query.toString() })).set;
  }
  async del(key: string, call?: CallOptions): Promise<boolean> {
    return (await this.call<{ deleted: boolean }>('delete', key, {}, call)).deleted;
  }
  /** Null: without an end. */
  async expire(key: string, ttl: number | null, call?: CallOptions): Promise<boolean> {
    return (await this.call<{ applied: boolean }>('expire', key, { ttl }, call)).applied;
  }
  async hset(key: string, fields: Record<string, unknown>, call?: CallOptions): Promise<number> {
    return (await this.call<{ written: number }>('hset', key, { fields }, call)).written;
  }
  hgetAll<T = Record<string, unknown>>(key: string, call?: CallOptions): Promise<T | null> {
    return orMiss<T | null>(this.call('hgetall', key, {}, call), null);
  }
  async sAdd(key: string, ...members: string[]): Promise<number> {
    return (await this.call<{ added: number }>('sadd', key, { members })).added;
  }
  sMembers(key: string, call?: CallOptions): Promise<string[]> {
    return orMiss<string[]>(this.call('smembers', key, {}, call), []);
  }
  async sRem(key: string, ...members: string[]): Promise<number> {
    return (await this.call<{ removed: number }>('srem', key, { members })).removed;
  }
}
