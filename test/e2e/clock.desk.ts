import { expect } from '@jest/globals';
import { sealedPlaces, streams, type ChannelTarget } from '@keyledger/contracts';
import {
  channelDecider,
  keyDecider,
  type ChannelCommand,
  type ChannelState,
  type KeyCommand,
  type KeyState,
} from '@keyledger/domain';
import { Decisions, EventStore } from '@keyledger/event-store';
import { Sealing } from '@keyledger/platform';
import { compactDecrypt, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose';
import { randomBytes, randomUUID } from 'node:crypto';
import { eventually, type Client, type Delivery, type Receiver } from '../support/index.js';
import type { ChannelEvent, KeyEvent, LeakResponse, RecordedEvent } from '@keyledger/contracts';

const SEALING = { id: 'test', key: Buffer.alloc(32, 7) };
/** Settings under which a system takes receivers on loopback. */
export const RECEIVER_ENV = {
  KEYLEDGER_SEALING_KEYS: `${SEALING.id}:${SEALING.key.toString('base64')}`,
  KEYLEDGER_ALLOWED_TARGETS: '127.0.0.0/8',
};
export const SIGNING_SECRET = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;

/** What stands in the event store, and receivers put there. */
export class Ledger {
  readonly store: EventStore;
  readonly decisions: Decisions;

  constructor(url: string) {
    this.store = new EventStore({ url });
    this.decisions = new Decisions(this.store);
  }

  dispose(): Promise<void> {
    return this.store.dispose();
  }

  async key(keyId: string): Promise<RecordedEvent[]> {
    return (await this.store.load(streams.key(keyId))).events;
  }

  async types(keyId: string): Promise<string[]> {
    return (await this.key(keyId)).map(({ event }) => event.type);
  }

  /** A key like another one, but of a keyspace that does not exist: nothing can be decided about it. */
  async issueNowhere(keyId: string, like: string): Promise<void> {
    const [issued] = await this.key(like);
    if (issued?.event.type !== 'KeyIssued') throw new Error(`${like} was not issued`);
    const secret = { ...issued.event.data.secret, hash: randomBytes(32).toString('base64url') };
    const data = { ...issued.event.data, keyId, keyspaceId: 'nowhere', secret };
    const { metadata } = issued;
    await this.store.append(streams.key(keyId), -1, [{ id: randomUUID(), type: 'KeyIssued', data, metadata }]);
  }

  /** A leak report about a secret, with what is done about it. */
  async leak(keyId: string, secretId: string, response: LeakResponse): Promise<void> {
    const now = new Date().toISOString();
    const leakId = randomUUID();
    const command: KeyCommand = { type: 'ReportLeak', leakId, secretId, source: 'report', response, now };
    const context = { commandId: leakId, now, actor: { type: 'system', id: 'test' }, reason: 'test' } as const;
    const outcome = await this.decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(keyId),
      command,
      { ...context, requestId: leakId },
    );
    if (!outcome.accepted) throw new Error(JSON.stringify(outcome.refusal));
  }

  async receiver(ownerId: string, target: ChannelTarget): Promise<string> {
    const channelId = randomUUID().replaceAll('-', '').slice(0, 22);
    const now = new Date().toISOString();
    const secretId = randomBytes(6).toString('hex');
    const sealed = new Sealing([SEALING]).seal(sealedPlaces.channelSecret(channelId, secretId), SIGNING_SECRET);
    const command: ChannelCommand = {
      type: 'RegisterChannel',
      channelId,
      name: 'receiver',
      channelType: 'receiver',
      audience: { ownerId },
      target,
      secret: { secretId, sealed, createdAt: now },
      now,
    };
    const context = { commandId: channelId, now, actor: { type: 'system', id: 'test' }, reason: 'test' } as const;
    const outcome = await this.decisions.run<ChannelCommand, ChannelState | undefined, ChannelEvent>(
      channelDecider,
      streams.channel(channelId),
      command,
      { ...context, requestId: channelId },
    );
    if (!outcome.accepted) throw new Error(JSON.stringify(outcome.refusal));
    return channelId;
  }
}

/** A key pair of a receiver. */
export class ReceiverKeys {
  private constructor(
    readonly publicJwk: Record<string, string>,
    readonly privateJwk: JWK,
    private readonly privateKey: CryptoKey,
  ) {}

  static async make(): Promise<ReceiverKeys> {
    const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true });
    const jwk = (await exportJWK(publicKey)) as Record<string, string>;
    return new ReceiverKeys(jwk, await exportJWK(privateKey), privateKey);
  }

  async open(jwe: string): Promise<{ key: string; secretId: string; keyId: string }> {
    const { plaintext } = await compactDecrypt(jwe, this.privateKey);
    return JSON.parse(new TextDecoder().decode(plaintext));
  }
}

/**
 * Somebody whose key is rotated by policy: uses a new secret from its delivery on, and the one before for as long as its
 * grace lasts.
 */
export class Holder {
  /** Every secret so far, the newest last. */
  readonly held: string[];
  /** What was refused and should have passed. */
  readonly refused: string[] = [];
  uses = 0;
  private readonly graces = new Map<string, string>();
  private seen = 0;

  constructor(
    firstKey: string,
    private readonly keys: ReceiverKeys,
    private readonly receiver: Pick<Receiver, 'deliveries'>,
    private readonly verifier: Client,
  ) {
    this.held = [firstKey];
  }

  /** Uses its secrets again and again until it has got so many new ones. */
  async useThrough(rotations: number, timeoutMs: number): Promise<void> {
    await eventually(
      `it was rotated ${rotations} times`,
      async () => {
        await this.use();
        return this.held.length > rotations;
      },
      { timeoutMs },
    );
  }

  /** Each of its two secrets once. */
  private async use(): Promise<void> {
    for (; this.seen < this.receiver.deliveries.length; this.seen++) {
      const opened = await this.keys.open(secretIn(this.receiver.deliveries[this.seen] as Delivery).jwe);
      if (opened.key !== this.held.at(-1)) this.held.push(opened.key);
    }
    for (const key of this.held.slice(-2)) {
      const { status, body } = await this.verifier.post('/v1/verify', { key });
      this.uses += 1;
      const isOver = Date.now() >= Date.parse(this.graces.get(key) ?? '9999-12-31');
      if (body.code !== 'VALID' && !isOver) {
        this.refused.push(`${status} ${body.code} after ${this.held.length - 1} deliveries`);
      }
      if (body.graceEndsAt !== undefined) this.graces.set(key, body.graceEndsAt);
    }
  }
}

/** What a message that brings a new secret says of it. */
export function secretIn({ text }: Delivery): { jwe: string; deliveryId: string; keyId: string } {
  const { type, data } = JSON.parse(text);
  expect(type).toBe('secret.ready');
  return data;
}
