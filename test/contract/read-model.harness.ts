import { instantOf, streams, type CommandContext, type Instant, type SecretNamespace } from '@keyledger/contracts';
import {
  judge,
  keyDecider,
  keyspaceDecider,
  mintKey,
  type KeyCommand,
  type KeyspaceCommand,
  type KeyspaceState,
  type KeyState,
  type PolicyInput,
} from '@keyledger/domain';
import { Decisions, EventStore } from '@keyledger/event-store';
import {
  connectRedis,
  Projector,
  ReadModel,
  type Projected,
  type ProjectorOptions,
  type RedisClient,
} from '@keyledger/read-model';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { eventually, startEventStore, startRedis, type EventStoreServer, type RedisServer } from '../support/index.js';

export interface Change<S> extends Projected<S> {
  position: bigint;
}

export interface IssuedKey extends Change<KeyState> {
  keyId: string;
  hash: string;
}

type Command<T extends KeyCommand['type']> = Extract<KeyCommand, { type: T }>;

/** Appends real decisions to a real event store, as api does, and nothing else. */
export class Ledger {
  readonly store: EventStore;
  private readonly decisions: Decisions;

  constructor(url: string) {
    this.store = new EventStore({ url });
    this.decisions = new Decisions(this.store);
  }

  async keyspace(keyspaceId: string, policy: PolicyInput = {}): Promise<Change<KeyspaceState>> {
    const command: KeyspaceCommand = {
      type: 'CreateKeyspace',
      keyspaceId,
      name: `Keyspace ${keyspaceId}`,
      environments: ['live', 'test'],
      policy,
      now: now(),
    };
    const outcome = await this.decisions.run(keyspaceDecider, streams.keyspace(keyspaceId), command, context());
    if (!outcome.accepted || !outcome.state) throw new Error(JSON.stringify(outcome));
    return { state: outcome.state, revision: outcome.revision, position: outcome.position ?? 0n };
  }

  async issue(keyspace: KeyspaceState, changes: Partial<Command<'IssueKey'>> = {}): Promise<IssuedKey> {
    const environment = changes.environment ?? 'live';
    const command: KeyCommand = {
      type: 'IssueKey',
      keyId: newKeyId(),
      keyspace,
      environment,
      kind: 'secret',
      name: 'Billing service of the web shop',
      owner: { id: `app-${randomBytes(6).toString('hex')}`, type: 'application' },
      scopes: ['invoices:read', 'invoices:write'],
      restrictions: {},
      metadata: { team: 'payments', ticket: 'PAY-1234' },
      secret: newSecret(keyspace.prefix, environment),
      now: now(),
      ...changes,
    };
    const change = await this.change(command.keyId, command);
    return { ...change, keyId: command.keyId, hash: command.secret.hash };
  }

  async import(keyspace: KeyspaceState, hash: string): Promise<IssuedKey> {
    const { type: _, ...request } = issueDefaults(keyspace);
    const secret = { secretId: randomUUID().slice(0, 12), hash, mask: 'legacy…1234' };
    const keyId = newKeyId();
    const change = await this.change(keyId, { ...request, type: 'ImportKey', keyId, secret });
    return { ...change, keyId, hash };
  }

  rotate(key: KeyState, keyspace: KeyspaceState, graceSeconds = 3600): Promise<Change<KeyState>> {
    const secret = newSecret(keyspace.prefix, key.environment);
    return this.change(key.keyId, { type: 'RotateKey', keyspace, secret, graceSeconds, now: now() });
  }

  revoke(keyId: string): Promise<Change<KeyState>> {
    const at = now();
    return this.change(keyId, { type: 'RevokeKey', reason: 'leaked', requestedAt: at, now: at });
  }

  suspend(keyId: string): Promise<Change<KeyState>> {
    return this.change(keyId, { type: 'SuspendKey', reason: 'abuse', now: now() });
  }

  reinstate(keyId: string): Promise<Change<KeyState>> {
    return this.change(keyId, { type: 'ReinstateKey', reason: 'cleared', now: now() });
  }

  async change(keyId: string, command: KeyCommand): Promise<Change<KeyState>> {
    const outcome = await this.decisions.run(keyDecider, streams.key(keyId), command, context());
    if (!outcome.accepted || !outcome.state) throw new Error(JSON.stringify(outcome));
    return { state: outcome.state, revision: outcome.revision, position: outcome.position ?? 0n };
  }
}

function issueDefaults(keyspace: KeyspaceState): Command<'IssueKey'> {
  return {
    type: 'IssueKey',
    keyId: newKeyId(),
    keyspace,
    environment: 'live',
    kind: 'secret',
    name: 'Imported',
    owner: { id: 'legacy', type: 'service' },
    scopes: [],
    restrictions: {},
    metadata: {},
    secret: newSecret(keyspace.prefix, 'live'),
    now: now(),
  };
}

export function newKeyId(): string {
  return randomBytes(32)
    .toString('base64')
    .replace(/[^0-9A-Za-z]/g, '')
    .slice(0, 22)
    .padEnd(22, '0');
}

export function newSecret(prefix: string, environment: string) {
  const { key, secretId, mask } = mintKey(prefix, environment, (count) => randomBytes(count));
  return { secretId, hash: sha256(key), mask };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

export function now(): Instant {
  return instantOf(Date.now());
}

export function context(): CommandContext {
  const id = randomUUID();
  return { commandId: id, now: now(), actor: { type: 'system', id: 'test' }, reason: 'test', requestId: id };
}

/** What a verifier would say of a secret: the verdict on the record that its hash leads to. */
export async function verdict(model: ReadModel, hash: string, namespace: SecretNamespace = 'issued'): Promise<string> {
  const found = await model.findByHash(hash, namespace);
  return judge(found?.state, [hash], {}, now()).code;
}

/** A projector in this process, as the worker runs it. */
export class RunningProjector {
  readonly projector: Projector;
  private readonly end = new AbortController();
  private readonly run: Promise<void>;

  constructor(options: ProjectorOptions) {
    this.projector = new Projector({ retireAfterMs: 1500, ...options });
    this.run = this.projector.run(this.end.signal);
  }

  async stop(): Promise<void> {
    this.end.abort();
    await this.run;
  }
}

/** A Redis, an event store, a reader and, if asked for, a projector: everything but HTTP. */
export class World {
  readonly ledger: Ledger;
  readonly client: RedisClient;
  readonly model: ReadModel;
  private readonly clients: RedisClient[] = [];
  private readonly projectors: RunningProjector[] = [];
  private readonly models: ReadModel[] = [];

  private constructor(
    readonly redisUrl: string,
    readonly eventStore: EventStoreServer,
    readonly redis: RedisServer | undefined,
  ) {
    this.ledger = new Ledger(eventStore.url);
    this.client = this.connect();
    this.model = this.reader();
  }

  /** @param redisUrl a Redis of the caller's; a new one if left out. */
  static async start(redisUrl?: string): Promise<World> {
    const [redis, eventStore] = await Promise.all([
      redisUrl === undefined ? startRedis() : undefined,
      startEventStore(),
    ]);
    const world = new World(redisUrl ?? (redis as RedisServer).url, eventStore, redis);
    await world.model.start();
    return world;
  }

  connect(): RedisClient {
    const client = connectRedis(this.redisUrl);
    this.clients.push(client);
    return client;
  }

  /** Another reader with a connection of its own, as another process has it. */
  reader(): ReadModel {
    const model = new ReadModel(this.connect());
    this.models.push(model);
    return model;
  }

  /** Another worker, with connections of its own. */
  work(options: Partial<ProjectorOptions> = {}): RunningProjector {
    const running = new RunningProjector({ redis: this.connect(), store: this.ledger.store, ...options });
    this.projectors.push(running);
    return running;
  }

  /** All workers end. */
  async rest(): Promise<void> {
    await Promise.all(this.projectors.map((running) => running.stop()));
  }

  async apply(change: Projected<KeyState>): Promise<void> {
    await this.model.applyKey(change.state, change.revision);
  }

  /** Until the projector has come to a position and answers count. */
  async caughtUp(position: bigint): Promise<void> {
    await eventually(`the model has come to ${position}`, async () => {
      const status = await this.model.projectionStatus();
      return status.current && BigInt(status.position) >= position && this.model.view().fresh;
    });
  }

  async ready(): Promise<void> {
    await eventually('the model answers', () => this.model.view().fresh);
  }

  async stop(): Promise<void> {
    await this.rest();
    for (const model of this.models) model.stop();
    await this.ledger.store.dispose();
    for (const client of this.clients) client.disconnect();
    await Promise.all([this.eventStore.stop(), this.redis?.stop()]);
  }
}
