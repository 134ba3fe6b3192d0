// client.realtime: publishing, presence, tokens for browsers, and subscriptions over this session.
import type { CallOptions, Session } from '../session.js';
import type { Subscription } from '../subscription.js';

export interface PresenceMember {
  id: string;
  identity?: string;
}

export class RealtimeApi {
  constructor(private readonly session: Session) {}

  /** A token with which a browser opens the realtime WebSocket at `url`. */
  mintToken(input: { channels: string[]; identity?: string; ttl?: number }, call?: CallOptions): Promise<{ token: string; url: string }> {
    return this.session.call('realtime.token', { channels: input.channels, identity: input.identity, ttl: input.ttl }, call);
  }
  /** How many it has reached. */
  async publish(channel: string, payload: unknown, call?: CallOptions): Promise<number> {
    return (await this.session.call<{ delivered: number }>('realtime.publish', { channel, payload }, call)).delivered;
  }
  async presence(channel: string, call?: CallOptions): Promise<PresenceMember[]> {
    const { presence } = await this.session.call<{ presence?: PresenceMember[] }>('realtime.presence', {}, { ...call, path: encodeURIComponent(channel) });
    return presence ?? [];
  }
  /** `for await (const event of client.realtime.subscribe('room:1'))`; with `presence` also `join` and `leave`. */
  subscribe(channel: string, options: { from?: Uint8Array; presence?: boolean } = {}): Subscription {
    return this.session.subscribe(channel, { ...options, kind: 'channel' });
  }
}
