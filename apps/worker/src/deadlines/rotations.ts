import {
  durationSeconds,
  plusSeconds,
  streams,
  type DeliveredSecret,
  type Instant,
  type KeyEvent,
  type RotationPolicy,
} from '@keyledger/contracts';
import {
  deliveryDecider,
  keyDecider,
  mintKey,
  PUBLISHABLE_SUFFIX,
  type DeliveryCommand,
  type DeliveryState,
  type KeyCommand,
  type KeyspaceState,
  type KeyState,
} from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { DELIVERIES_PER_SECRET, deliveryIdOf, randomBytes, type KeyDigests, type Logger } from '@keyledger/platform';
import type { KnownChannel, Projected } from '@keyledger/read-model';
import { CompactEncrypt, importJWK } from 'jose';
import { clockContext } from '../clock-context.js';
import { decideDelivery } from '../deliveries/decide.js';
import type { Standing } from './standing.js';

/** A delivery ends before the old secret does, by this part of the grace, so that a failure can still extend it. */
const MARGIN_PART = 0.2;
const LONGEST_MARGIN_SECONDS = 3600;
/** Where the old secret ends at once there is no grace to measure a delivery by. */
const WITHOUT_GRACE_SECONDS = 3600;

/**
 * Rotates keys by policy. The new secret exists in this process's memory only until it is encrypted to its receiver. It
 * is recorded as a delivery, under an id that follows from the key and the secret that it replaces, before the key is
 * rotated to it; so whoever dies in between has the next one go on with the same secret, and nothing is lost or made twice.
 */
export class Rotations {
  constructor(
    private readonly parts: { decisions: Decisions; standing: Standing; digests: KeyDigests; logger: Logger },
  ) {}

  /** The key as it is after that; `undefined` if it was not rotated: somebody else did, or there is no receiver now. */
  async rotate(
    key: KeyState,
    keyspace: KeyspaceState,
    rule: RotationPolicy,
    now: Instant,
  ): Promise<Projected<KeyState> | undefined> {
    const receiver = this.parts.standing.receiverOf(key);
    if (!receiver) return undefined;
    const graceSeconds = Math.min(durationSeconds(rule.grace) ?? 0, durationSeconds(keyspace.policy.maxGrace) ?? 0);
    const delivery = await this.prepared(key, keyspace, receiver, graceSeconds, now);
    const { deliveryId, secret, previousSecretId } = delivery;
    const command = (current: KeyState | undefined): KeyCommand => {
      if (current?.secrets[0]?.secretId !== previousSecretId) throw new Overtaken();
      return { type: 'RotateKey', keyspace, secret, graceSeconds, now };
    };
    try {
      const outcome = await this.parts.decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
        keyDecider,
        streams.key(key.keyId),
        command,
        clockContext(`rotation ${deliveryId}`, 'the secret is due for rotation', now),
      );
      if (outcome.accepted && outcome.state) return { state: outcome.state, revision: outcome.revision };
      if (outcome.accepted) return undefined;
      if (outcome.refusal.code === 'CONFLICT') throw new Error(outcome.refusal.detail);
      await this.abandon(delivery, outcome.refusal.detail, now);
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error;
      await this.abandon(delivery, 'the key was rotated by somebody else first', now);
    }
    return undefined;
  }

  /**
   * The delivery that is open for this rotation: one that was prepared before, or a new one. Others may have failed before
   * their rotation, e.g. because every worker was down for long.
   */
  private async prepared(
    key: KeyState,
    keyspace: KeyspaceState,
    receiver: KnownChannel,
    graceSeconds: number,
    now: Instant,
  ): Promise<DeliveryState> {
    const previousSecretId = key.secrets[0]?.secretId ?? '';
    for (let nth = 0; nth < DELIVERIES_PER_SECRET; nth++) {
      const deliveryId = deliveryIdOf(key.keyId, previousSecretId, nth);
      const { state } = await this.parts.decisions.load(deliveryDecider, streams.delivery(deliveryId));
      if (state && state.status !== 'failed' && state.expiresAt > now) return state;
      if (state?.status === 'open') await this.abandon(state, 'its time ran out before the key was rotated', now);
      if (state) continue;
      const terms = await this.encrypted(deliveryId, key, keyspace, receiver);
      const seconds = graceSeconds > 0 ? graceSeconds - marginOf(graceSeconds) : WITHOUT_GRACE_SECONDS;
      const command: DeliveryCommand = {
        type: 'PrepareDelivery',
        terms: { ...terms, previousSecretId, expiresAt: plusSeconds(now, seconds) },
        now,
      };
      const made = await this.decide(deliveryId, command, 'a new secret for its receiver');
      if (made) return made;
    }
    throw new Error(
      `${DELIVERIES_PER_SECRET} deliveries for the secret ${previousSecretId} of the key ${key.keyId} have failed`,
    );
  }

  private async encrypted(deliveryId: string, key: KeyState, keyspace: KeyspaceState, { channel }: KnownChannel) {
    const { keyId, keyspaceId, environment, kind, owner, secrets } = key;
    const { publicKey, via = 'pickup' } = channel.target;
    if (!publicKey) throw new Error(`the receiver ${channel.channelId} has no public key`);
    const prefix = kind === 'publishable' ? keyspace.prefix + PUBLISHABLE_SUFFIX : keyspace.prefix;
    const minted = mintKey(prefix, environment, randomBytes);
    const { secretId, mask } = minted;
    const content: DeliveredSecret = {
      deliveryId,
      keyId,
      keyspaceId,
      environment,
      secretId,
      previousSecretId: secrets[0]?.secretId ?? '',
      key: minted.key,
    };
    const jwe = await encryptTo(publicKey, content);
    const secret = { secretId, mask, ...this.parts.digests.forNew(minted.key) };
    return { deliveryId, keyId, keyspaceId, ownerId: owner.id, secret, channelId: channel.channelId, via, jwe };
  }

  private async abandon({ deliveryId, keyId }: DeliveryState, problem: string, now: Instant): Promise<void> {
    this.parts.logger.info({ deliveryId, keyId, problem }, 'a rotation by policy did not happen');
    await this.decide(deliveryId, { type: 'FailDelivery', attempts: 0, problem, now }, problem);
  }

  private async decide(
    deliveryId: string,
    command: DeliveryCommand,
    reason: string,
  ): Promise<DeliveryState | undefined> {
    return (await decideDelivery(this.parts.decisions, deliveryId, command, reason)).state;
  }
}

/** The key has another secret than the one that was to be replaced. */
class Overtaken extends Error {}

const marginOf = (graceSeconds: number): number => Math.min(graceSeconds * MARGIN_PART, LONGEST_MARGIN_SECONDS);

/** JWE (RFC 7516), compact: only who has the private key can read it. */
async function encryptTo(publicKey: Record<string, string>, content: DeliveredSecret): Promise<string> {
  const { kid } = publicKey;
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(content)))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', cty: 'json', ...(kid !== undefined && { kid }) })
    .encrypt(await importJWK(publicKey, 'ECDH-ES'));
}
