import {
  refusal,
  type Change,
  type ChannelAudience,
  type ChannelEvent,
  type ChannelSecret,
  type ChannelTarget,
  type ChannelTerms,
  type ChannelType,
  type Instant,
  type NotificationKind,
} from '@keyledger/contracts';
import { targetErrors } from './channel.target.js';
import { accept, refuse, type Decider, type Decision } from './decider.js';
import { sameJson } from './equality.js';

/** Where news goes: what the events of a channel add up to. */
export interface ChannelState extends ChannelTerms {
  /** Why nothing is sent there. */
  disabled?: string;
  removedAt?: Instant;
}

export type ChannelCommand =
  | {
      type: 'RegisterChannel';
      channelId: string;
      name: string;
      channelType: ChannelType;
      audience: ChannelAudience;
      target: ChannelTarget;
      kinds?: NotificationKind[];
      /** Of what is signed: a webhook, or a receiver that is told by webhook. */
      secret?: ChannelSecret;
      now: Instant;
    }
  | {
      type: 'ChangeChannel';
      name?: string;
      target?: ChannelTarget;
      /** `null`: everything. */
      kinds?: NotificationKind[] | null;
      /** `true` sends again after it was disabled; `false` stops sending. */
      enabled?: boolean;
      now: Instant;
    }
  /** The newest secret until now signs beside the new one until `overlapEndsAt`; older ones no longer. */
  | { type: 'RotateChannelSecret'; secret: ChannelSecret; overlapEndsAt: Instant; now: Instant }
  | { type: 'DisableChannel'; reason: string; now: Instant }
  | { type: 'RemoveChannel'; now: Instant };

/** Whether messages to such a channel are signed with a secret of it. */
export const isSigned = ({ type, target }: { type: ChannelType; target: ChannelTarget }): boolean =>
  type === 'webhook' || (type === 'receiver' && target.via === 'webhook');

/** Whether it is sent the trail of its audience instead of news. */
export const getsTrail = ({ target }: Pick<ChannelTerms, 'target'>): boolean => target.format === 'cloudevents';

/** The secrets with which a message is signed at an instant, the newest first. */
export const signingSecrets = (channel: Pick<ChannelState, 'secrets'>, now: Instant): ChannelSecret[] =>
  channel.secrets.filter(({ endsAt }) => endsAt === undefined || now < endsAt);

export const channelDecider: Decider<ChannelCommand, ChannelState | undefined, ChannelEvent> = {
  initialState: undefined,
  decide,
  evolve,
};

function decide(command: ChannelCommand, state: ChannelState | undefined): Decision<ChannelEvent> {
  if (command.type === 'RegisterChannel') return register(command, state);
  if (!state || state.removedAt !== undefined) return refuse(refusal('NOT_FOUND', 'There is no such channel.'));
  const { channelId } = state;
  switch (command.type) {
    case 'ChangeChannel':
      return change(command, state);
    case 'RotateChannelSecret':
      return rotateSecret(command, state);
    case 'DisableChannel':
      return changed(state, command.now, { disabled: changeOf(state.disabled, state.disabled ?? command.reason) });
    case 'RemoveChannel':
      return accept({ type: 'ChannelRemoved', data: { channelId, removedAt: command.now } });
  }
}

function register(
  command: Extract<ChannelCommand, { type: 'RegisterChannel' }>,
  state: ChannelState | undefined,
): Decision<ChannelEvent> {
  const { channelId, name, channelType: type, audience, target, kinds, secret, now } = command;
  if (state) return refuse(refusal('CONFLICT', `There is a channel ${channelId} already.`));
  const errors = [
    ...targetErrors(type, target),
    ...audienceErrors({ type, audience, target }),
    ...kindErrors({ type, target }, kinds),
  ];
  if (errors.length > 0) return refuse(refusal('UNPROCESSABLE', 'The channel cannot be as it was asked for.', errors));
  const secrets = secret && isSigned({ type, target }) ? [secret] : [];
  const terms = { channelId, name, type, audience, target, ...(kinds && { kinds }), secrets, createdAt: now };
  return accept({ type: 'ChannelRegistered', data: terms });
}

function change(
  command: Extract<ChannelCommand, { type: 'ChangeChannel' }>,
  state: ChannelState,
): Decision<ChannelEvent> {
  const { name = state.name, target = state.target, kinds = state.kinds, enabled, now } = command;
  const wanted = kinds ?? undefined;
  const errors = [...targetErrors(state.type, target), ...kindErrors(state, wanted)];
  for (const name of errors.length === 0 ? (['via', 'format'] as const) : []) {
    if (target[name] === state.target[name]) continue;
    const was = state.target[name] === undefined ? 'leave it out' : `say "${state.target[name]}" as before`;
    errors.push({ field: `target.${name}`, message: 'cannot be changed', fix: `${was}, or register another channel` });
  }
  if (errors.length > 0) return refuse(refusal('UNPROCESSABLE', 'The channel cannot be as it was asked for.', errors));
  const disabled = enabled === undefined ? state.disabled : enabled ? undefined : (state.disabled ?? 'disabled');
  return changed(state, now, {
    name: changeOf(state.name, name),
    target: changeOf(state.target, target),
    kinds: changeOf(state.kinds, wanted),
    disabled: changeOf(state.disabled, disabled),
  });
}

function rotateSecret(
  { secret, overlapEndsAt, now }: Extract<ChannelCommand, { type: 'RotateChannelSecret' }>,
  state: ChannelState,
): Decision<ChannelEvent> {
  if (!isSigned(state)) return refuse(refusal('UNPROCESSABLE', `A ${state.type} channel has no signing secret.`));
  const [newest, older] = state.secrets;
  // Whoever was promised an overlap may still be changing over: only an end of all that was is no broken promise.
  if (older?.endsAt !== undefined && older.endsAt > now && overlapEndsAt > now) {
    const instead = 'rotate again after that, or with the overlap "PT0S", which ends both at once';
    return refuse(refusal('CONFLICT', `The secret before this one signs until ${older.endsAt}; ${instead}.`));
  }
  const kept = newest && overlapEndsAt > now ? [{ ...newest, endsAt: overlapEndsAt }] : [];
  return changed(state, now, { secrets: changeOf(state.secrets, [secret, ...kept]) });
}

type Changes = Extract<ChannelEvent, { type: 'ChannelChanged' }>['data']['changes'];
type MaybeChanges = { [K in keyof Changes]?: Changes[K] | undefined };

function changed({ channelId }: ChannelState, now: Instant, maybe: MaybeChanges): Decision<ChannelEvent> {
  const changes = Object.fromEntries(Object.entries(maybe).filter(([, value]) => value !== undefined)) as Changes;
  if (Object.keys(changes).length === 0) return accept();
  return accept({ type: 'ChannelChanged', data: { channelId, changes, changedAt: now } });
}

function changeOf<T>(before: T | undefined, after: T | undefined): Change<T> | undefined {
  if (sameJson(before, after)) return undefined;
  return { ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}

function audienceErrors({ type, audience, target }: Pick<ChannelTerms, 'type' | 'audience' | 'target'>) {
  if (audience !== 'system' && !('keyspaceId' in audience) && !('ownerId' in audience)) {
    return [{ field: 'audience', message: 'is empty', fix: 'name keyspaceId, ownerId or both, or say "system"' }];
  }
  if (getsTrail({ target }) && audience !== 'system' && audience.ownerId !== undefined) {
    const message = 'narrows a trail, which is of the system or of a keyspace';
    return [{ field: 'audience.ownerId', message, fix: 'name keyspaceId only, or say "system"' }];
  }
  if (type !== 'receiver' || (audience !== 'system' && audience.ownerId !== undefined)) return [];
  const message = 'is nobody in particular, and a receiver gets the secrets of one owner';
  return [{ field: 'audience.ownerId', message, fix: 'name the owner' }];
}

function kindErrors(channel: Pick<ChannelTerms, 'type' | 'target'>, kinds: NotificationKind[] | undefined) {
  if (kinds === undefined) return [];
  if (getsTrail(channel)) {
    return [{ field: 'kinds', message: 'means nothing for a channel that gets the whole trail', fix: 'leave it out' }];
  }
  if (channel.type === 'receiver') {
    return [{ field: 'kinds', message: 'a receiver gets secrets, not news', fix: 'leave it out' }];
  }
  if (kinds.length === 0) {
    return [{ field: 'kinds', message: 'is empty', fix: 'name the kinds that are wanted, or leave it out for all' }];
  }
  return kinds.flatMap((kind, index) =>
    kinds.indexOf(kind) < index
      ? [{ field: `kinds[${index}]`, message: 'stands there twice', fix: 'name each kind once' }]
      : [],
  );
}

function evolve(state: ChannelState | undefined, event: ChannelEvent): ChannelState {
  if (event.type === 'ChannelRegistered') return { ...event.data };
  if (!state) throw new RangeError(`${event.type} stands before the channel was registered`);
  if (event.type === 'ChannelRemoved') return { ...state, removedAt: event.data.removedAt };
  const { name, target, kinds, secrets, disabled } = event.data.changes;
  const { kinds: kindsBefore, disabled: disabledBefore, ...rest } = state;
  const kindsAfter = kinds ? kinds.after : kindsBefore;
  const disabledAfter = disabled ? disabled.after : disabledBefore;
  return {
    ...rest,
    ...(name?.after !== undefined && { name: name.after }),
    ...(target?.after && { target: target.after }),
    ...(kindsAfter && { kinds: kindsAfter }),
    ...(secrets?.after && { secrets: secrets.after }),
    ...(disabledAfter !== undefined && { disabled: disabledAfter }),
  };
}
