import { EventStore } from '@keyledger/event-store';
import { connectRedis } from '@keyledger/read-model';
import { expect } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { eventually, http, type Answer, type Client, type System } from '../support/index.js';

const CHANGED_BY_REQUESTS = [
  'key-',
  'keyspace-',
  'leak-',
  'channel-',
  'delivery-',
  'review-',
  'subject-',
  'audit-request-',
];

/** What the api suites share: a client with the admin key, keyspaces of their own, and the end of the event log. */
export class Desk {
  readonly admin: Client;
  private readonly store: EventStore;

  constructor(private readonly system: System) {
    this.admin = http(system.api.baseUrl, system.adminKey);
    this.store = new EventStore({ url: system.eventStore.url });
  }

  /** Calls the api with this key. */
  as(key: string): Client {
    return http(this.system.api.baseUrl, key);
  }

  /**
   * The position of the newest event that a request can cause: where it has not moved, nothing was appended. What the
   * worker writes down of its own accord, such as the use of the management key, is left out.
   */
  async head(): Promise<bigint> {
    const newest = this.store.readAll({ direction: 'backwards', streamPrefixes: CHANGED_BY_REQUESTS, limit: 1 });
    for await (const [event] of newest) return event?.position ?? 0n;
    return 0n;
  }

  /** The types of the events of one stream. */
  async events(stream: string): Promise<string[]> {
    const { events } = await this.store.load(stream);
    return events.map(({ event }) => event.type);
  }

  /** How often a key was used, as far as it is on record. */
  async recordedUses(keyId: string): Promise<number> {
    const { events } = await this.store.load(`usage-${keyId}`);
    const counts = events.map(({ event }) => (event.type === 'KeyUsageRecorded' ? event.data.secrets : []));
    return Math.max(0, ...counts.flat().map(({ count }) => count));
  }

  /**
   * Empties Redis, and waits until the projector has brought the model back and all have heard of it: each process looks
   * for itself, and answers UNAVAILABLE until it has.
   */
  async emptyRedis(): Promise<void> {
    const redis = connectRedis(this.system.redis.url);
    await eventually('Redis takes commands', async () => (await redis.ping()) === 'PONG');
    const { generation } = (await this.admin.get('/v1/system/projections')).body;
    await redis.flushall();
    redis.disconnect();
    await eventually('the model is back', async () => {
      const { body } = await this.admin.get('/v1/system/projections');
      return body.current === true && body.generation !== generation;
    });
    const { api, verifier, adminKey } = this.system;
    for (const { baseUrl } of [api, verifier]) {
      await eventually(`${baseUrl} answers by it`, async () => {
        const { status, body } = await http(baseUrl, adminKey).post('/v1/verify', { key: adminKey });
        return status === 200 && body.code !== 'UNAVAILABLE';
      });
    }
  }

  dispose(): Promise<void> {
    return this.store.dispose();
  }

  async keyspace(policy: object = {}, environments = ['live', 'test']): Promise<string> {
    const prefix = `t${randomBytes(5).toString('hex')}`;
    const made = await this.admin.post('/v1/keyspaces', { name: 'Test', prefix, environments, policy });
    expect(made.status).toBe(201);
    return prefix;
  }

  /** Issues a key and expects success. */
  async issue(keyspaceId: string, more: object = {}): Promise<Answer['body']> {
    const issued = await this.admin.post('/v1/keys', { ...requestFor(keyspaceId), ...more });
    expect(issued.body).toMatchObject({ keyId: expect.any(String), effective: true });
    return issued.body;
  }

  /** A management key with these scopes. */
  async credential(...scopes: string[]): Promise<string> {
    return (await this.issue('system', { scopes, lifetime: 'P1D' })).key;
  }

  async verdict(key: string, more: object = {}): Promise<string> {
    const { body } = await this.admin.post('/v1/verify', { key, ...more });
    return body.code;
  }
}

export const requestFor = (keyspaceId: string) => ({
  keyspaceId,
  environment: 'live',
  name: 'Checkout backend',
  owner: { id: 'app_checkout', type: 'application' },
  scopes: ['payments:read'],
});
