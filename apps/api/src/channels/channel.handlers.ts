import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import {
  durationSeconds,
  plusSeconds,
  refusal,
  sealedPlaces,
  streams,
  type ChannelSecret,
  type ChannelTarget,
  type ChannelType,
  type FieldError,
} from '@keyledger/contracts';
import type {
  ChangeChannelRequest,
  ChannelTargetInput,
  ChannelView,
  ChannelWithSecret,
  RegisterChannelRequest,
} from '@keyledger/contracts/http';
import { channelDecider, isSigned, urlErrors, type ChannelCommand, type ChannelState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { idFrom, invalidField, newId, randomBytes, RefusalError, Sealing } from '@keyledger/platform';
import { ChannelDirectory } from '@keyledger/read-model';
import { createPublicKey } from 'node:crypto';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted, expecting, receiptFor } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { assertAudience, assertMayExport, assertMayReceive, channelFor } from './channel-access.js';
import { channelView } from './channel.view.js';

const SECRET_BYTES = 32;
const DEFAULT_OVERLAP = 'P1D';
const MAX_OVERLAP_SECONDS = 30 * 86_400;
const SEEN_WITHIN_MS = 2000;
const JWK_MEMBERS = ['kty', 'crv', 'x', 'y', 'kid', 'd', 'k'];

/** A signing secret before anything was decided. */
interface Minted {
  secretId: string;
  text: string;
}

const mint = (): Minted => ({
  secretId: newId().slice(0, 12),
  text: `whsec_${Buffer.from(randomBytes(SECRET_BYTES)).toString('base64')}`,
});

/** What the handlers of channels have in common: they decide, make the change known here and show the channel. */
export class ChannelDecisions {
  constructor(
    readonly decisions: Decisions,
    readonly receipts: Receipts,
    private readonly sealing: Sealing,
    private readonly channels: ChannelDirectory,
  ) {}

  async run(
    channelId: string,
    command: ChannelCommand,
    { context, expectedRevision }: Intent,
  ): Promise<{ state: ChannelState; revision: number; replayed: boolean; events: unknown[] }> {
    const stream = streams.channel(channelId);
    const outcome = await this.decisions.run(channelDecider, stream, command, context, expecting(expectedRevision));
    const { position, replayed, events, left } = accepted(outcome);
    const { state, revision } = left;
    if (!state) throw new Error(`an accepted decision left no channel ${channelId}`);
    // Whoever lists the channels next through this process sees the change.
    await this.channels.at(position ?? 0n, SEEN_WITHIN_MS);
    return { state, revision, replayed, events };
  }

  view(state: ChannelState, revision: number): ChannelView {
    return channelView(state, revision, this.sealing);
  }

  sealed(channelId: string, { secretId, text }: Minted, createdAt: string): ChannelSecret {
    return { secretId, sealed: this.sealing.seal(sealedPlaces.channelSecret(channelId, secretId), text), createdAt };
  }

  /** With the secret only if the recorded one is that of this request. */
  withSecret(state: ChannelState, revision: number, { secretId, text }: Minted): ChannelWithSecret {
    const isNew = state.secrets.some((secret) => secret.secretId === secretId);
    return { ...this.view(state, revision), ...(isNew && { signingSecret: text }) };
  }

  /** @throws RefusalError naming the field */
  target(channelId: string, type: ChannelType, { publicKey, ...input }: ChannelTargetInput): ChannelTarget {
    const key = publicKey && { publicKey: usable(publicKey) };
    if (type !== 'slack' || input.url === undefined) return { ...input, ...key };
    const { url, ...rest } = input;
    refuse(urlErrors(url));
    return { ...rest, ...key, sealedUrl: this.sealing.seal(sealedPlaces.channelUrl(channelId), url) };
  }
}

/** The members that matter. That the point lies on its curve is what importing the key finds out. */
function usable(jwk: Record<string, string>): Record<string, string> {
  const members = Object.fromEntries(Object.entries(jwk).filter(([name]) => JWK_MEMBERS.includes(name)));
  if ('d' in members || 'k' in members) return members;
  try {
    createPublicKey({ key: members, format: 'jwk' });
  } catch {
    throw invalidField('target.publicKey', 'is no usable public key', 'a public JWK of P-256 or X25519');
  }
  return members;
}

function refuse(errors: FieldError[]): void {
  if (errors.length > 0) {
    throw new RefusalError(refusal('UNPROCESSABLE', 'The channel cannot be as it was asked for.', errors));
  }
}

export class RegisterChannel extends Command<Receipt<ChannelWithSecret>> {
  constructor(
    readonly request: RegisterChannelRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(RegisterChannel)
export class RegisterChannelHandler implements ICommandHandler<RegisterChannel> {
  constructor(private readonly channels: ChannelDecisions) {}

  async execute({ request, intent }: RegisterChannel): Promise<Receipt<ChannelWithSecret>> {
    const { channels } = this;
    const { context } = intent;
    const { type, target: input, ...terms } = plain(request);
    await assertAudience(intent.caller, terms.audience, channels.decisions);
    assertMayExport(intent.caller, { target: input, audience: terms.audience });
    assertMayReceive(intent.caller, { type, audience: terms.audience });
    return channels.receipts.once(intent, mint(), async (minted) => {
      const channelId = idFrom(`channel ${context.commandId}`);
      const target = channels.target(channelId, type, input);
      const command = {
        type: 'RegisterChannel',
        channelId,
        channelType: type,
        target,
        ...terms,
        now: context.now,
      } as const;
      const secret = isSigned({ type, target }) ? { secret: channels.sealed(channelId, minted, context.now) } : {};
      const { state, revision, replayed } = await channels.run(channelId, { ...command, ...secret }, intent);
      return { body: channels.withSecret(state, revision, minted), replayed };
    });
  }
}

export class ChangeChannel extends Command<Receipt<ChannelView>> {
  constructor(
    readonly channelId: string,
    readonly change: ChangeChannelRequest | 'remove',
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ChangeChannel)
export class ChangeChannelHandler implements ICommandHandler<ChangeChannel> {
  constructor(private readonly channels: ChannelDecisions) {}

  async execute({ channelId, change, intent }: ChangeChannel): Promise<Receipt<ChannelView>> {
    const { channels } = this;
    return channels.receipts.same(intent, async () => {
      const { channel } = await channelFor(intent.caller, channelId, channels.decisions);
      if (change !== 'remove' && (change.target || change.enabled)) {
        assertMayExport(intent.caller, channel);
        assertMayReceive(intent.caller, channel);
      }
      const done = await channels.run(channelId, this.command(channel, change, intent), intent);
      return receiptFor(channels.view(done.state, done.revision), done);
    });
  }

  private command(
    { channelId, type }: ChannelState,
    change: ChangeChannelRequest | 'remove',
    { context: { now } }: Intent,
  ): ChannelCommand {
    if (change === 'remove') return { type: 'RemoveChannel', now };
    const { target, ...rest } = plain(change);
    return {
      type: 'ChangeChannel',
      ...rest,
      ...(target && { target: this.channels.target(channelId, type, target) }),
      now,
    };
  }
}

export class RotateChannelSecret extends Command<Receipt<ChannelWithSecret>> {
  constructor(
    readonly channelId: string,
    readonly overlap: string | undefined,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(RotateChannelSecret)
export class RotateChannelSecretHandler implements ICommandHandler<RotateChannelSecret> {
  constructor(private readonly channels: ChannelDecisions) {}

  async execute({ channelId, overlap, intent }: RotateChannelSecret): Promise<Receipt<ChannelWithSecret>> {
    const { channels } = this;
    const { now } = intent.context;
    const overlapSeconds = durationSeconds(overlap ?? DEFAULT_OVERLAP) ?? 0;
    if (overlapSeconds > MAX_OVERLAP_SECONDS) throw invalidField('overlap', 'is too long', 'at most "P30D"');
    return channels.receipts.once(intent, mint(), async (minted) => {
      const { channel } = await channelFor(intent.caller, channelId, channels.decisions);
      assertMayExport(intent.caller, channel);
      assertMayReceive(intent.caller, channel);
      const secret = channels.sealed(channelId, minted, now);
      const overlapEndsAt = plusSeconds(now, overlapSeconds);
      const command = { type: 'RotateChannelSecret', secret, overlapEndsAt, now } as const;
      const { state, revision, replayed } = await channels.run(channelId, command, intent);
      return { body: channels.withSecret(state, revision, minted), replayed };
    });
  }
}
