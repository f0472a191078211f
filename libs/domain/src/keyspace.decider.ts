import {
  DEFAULT_PREFIX,
  durationSeconds,
  refusal,
  SYSTEM_KEYSPACE,
  type FieldError,
  type Instant,
  type KeyspaceEvent,
  type KeyspacePolicy,
} from '@keyledger/contracts';
import { sameJson } from './equality.js';
import { leakErrors, timeErrors } from './keyspace.terms.js';
import { accept, refuse, type Decider, type Decision } from './decider.js';
import { ENVIRONMENT_PATTERN, PREFIX_PATTERN, PUBLISHABLE_SUFFIX } from './key-format.js';
import { isScope } from './scope.js';

/**
 * Where keys live and what rules hold for them. Its id is its prefix: the store lets a stream begin once only, and so a
 * prefix belongs to one keyspace for ever.
 */
export interface KeyspaceState {
  keyspaceId: string;
  name: string;
  prefix: string;
  environments: string[];
  policy: KeyspacePolicy;
  createdAt: Instant;
  archivedAt?: Instant;
}

/** What a policy may lack. Named as `null` it is taken out. */
const REMOVABLE = ['scopes', 'rotation', 'unused'] as const;
type Removable = (typeof REMOVABLE)[number];

/** A policy as people write it: what is left out keeps its value. */
export type PolicyInput = Partial<Omit<KeyspacePolicy, Removable>> & {
  [K in Removable]?: KeyspacePolicy[K] | null | undefined;
};

export type KeyspaceCommand =
  | {
      type: 'CreateKeyspace';
      keyspaceId: string;
      name: string;
      environments: string[];
      policy: PolicyInput;
      now: Instant;
      /** Only the system's own first start may name the reserved keyspace. */
      reserved?: boolean;
    }
  | { type: 'ChangeKeyspace'; name?: string; environments?: string[]; policy?: PolicyInput; now: Instant }
  | { type: 'ArchiveKeyspace'; now: Instant };

export const DEFAULT_ENVIRONMENTS: readonly string[] = ['live', 'test'];

export const DEFAULT_POLICY: KeyspacePolicy = {
  defaultLifetime: 'P90D',
  maxLifetime: 'P366D',
  defaultGrace: 'P1D',
  maxGrace: 'P30D',
  nonExpiring: false,
  secondRotation: 'end-oldest',
  selfRotate: false,
  selfRevoke: false,
  expiryWarnings: ['P30D', 'P7D', 'P1D'],
  endGrace: 'at-deadline',
  failedDelivery: 'extend:P7D',
  leaks: [],
};

export const keyspaceDecider: Decider<KeyspaceCommand, KeyspaceState | undefined, KeyspaceEvent> = {
  initialState: undefined,
  decide: decideKeyspace,
  evolve: evolveKeyspace,
};

function decideKeyspace(command: KeyspaceCommand, state: KeyspaceState | undefined): Decision<KeyspaceEvent> {
  if (command.type === 'CreateKeyspace') return create(command, state);
  if (!state) return refuse(refusal('NOT_FOUND', 'There is no such keyspace.'));
  if (command.type === 'ArchiveKeyspace') {
    if (state.archivedAt !== undefined) return accept();
    if (state.keyspaceId === SYSTEM_KEYSPACE) {
      return refuse(refusal('UNPROCESSABLE', 'The keyspace of the management credentials cannot be archived.'));
    }
    return accept({ type: 'KeyspaceArchived', data: { keyspaceId: state.keyspaceId, archivedAt: command.now } });
  }
  if (state.archivedAt !== undefined) {
    return refuse(refusal('KEYSPACE_ARCHIVED', `Keyspace ${state.keyspaceId} is archived and cannot be changed.`));
  }
  return change(command, state);
}

function create(
  command: Extract<KeyspaceCommand, { type: 'CreateKeyspace' }>,
  state: KeyspaceState | undefined,
): Decision<KeyspaceEvent> {
  const { keyspaceId, name, environments, now } = command;
  if (state || (keyspaceId === SYSTEM_KEYSPACE && !command.reserved)) {
    const error = { field: 'prefix', message: `"${keyspaceId}" is taken`, fix: 'choose another prefix' };
    return refuse(refusal('KEYSPACE_EXISTS', `The prefix ${keyspaceId} belongs to another keyspace.`, [error]));
  }
  const policy = mergePolicy(defaultsFor(command.policy), command.policy);
  const errors = [
    ...prefixErrors(keyspaceId),
    ...environmentErrors(environments),
    ...policyErrors(policy, environments),
  ];
  if (errors.length > 0) return invalid(errors);
  return accept({
    type: 'KeyspaceCreated',
    data: { keyspaceId, name, prefix: keyspaceId, environments, policy, createdAt: now },
  });
}

/** Each default length with its maximum, and the least number of seconds that both may have. */
const LENGTHS = [
  { usual: 'defaultLifetime', most: 'maxLifetime', least: 1 },
  { usual: 'defaultGrace', most: 'maxGrace', least: 0 },
] as const;

/** Seconds in a duration of a policy, or `undefined` where it is none or too short. */
function lengthOf(duration: string | undefined, least: number): number | undefined {
  const seconds = duration === undefined ? undefined : durationSeconds(duration);
  return seconds !== undefined && seconds >= least ? seconds : undefined;
}

/**
 * The defaults, fitted to what is named: a default length shrinks to a named maximum and a maximum grows to a named
 * default length, so that naming one of the two is enough.
 */
function defaultsFor(input: PolicyInput): KeyspacePolicy {
  const policy = { ...DEFAULT_POLICY };
  for (const { usual, most, least } of LENGTHS) {
    const [namedUsual, namedMost] = [lengthOf(input[usual], least), lengthOf(input[most], least)];
    if ((namedMost ?? Infinity) < (lengthOf(policy[usual], least) ?? 0)) policy[usual] = input[most] ?? policy[usual];
    if ((namedUsual ?? 0) > (lengthOf(policy[most], least) ?? 0)) policy[most] = input[usual] ?? policy[most];
  }
  return policy;
}

/** Members of the input that are `undefined`, as request bodies have them, count as left out. */
function mergePolicy(base: KeyspacePolicy, input: PolicyInput): KeyspacePolicy {
  const named = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as PolicyInput;
  const merged = { ...base, ...named };
  for (const name of REMOVABLE) if (merged[name] === null) delete merged[name];
  return merged as KeyspacePolicy;
}

function change(
  command: Extract<KeyspaceCommand, { type: 'ChangeKeyspace' }>,
  state: KeyspaceState,
): Decision<KeyspaceEvent> {
  const name = command.name ?? state.name;
  const environments = command.environments ?? state.environments;
  const policy = command.policy ? mergePolicy(state.policy, command.policy) : state.policy;
  const missing = state.environments.filter((environment) => !environments.includes(environment));
  const errors = [...environmentErrors(environments), ...policyErrors(policy, environments)];
  if (missing.length > 0) {
    const message = `leaves out ${missing.join(', ')}, where keys may exist`;
    errors.push({
      field: 'environments',
      message,
      fix: 'name every environment that the keyspace has, and the new ones',
    });
  }
  if (errors.length > 0) return invalid(errors);
  const changes = {
    ...(name !== state.name && { name: { before: state.name, after: name } }),
    ...(!sameJson(environments, state.environments) && {
      environments: { before: state.environments, after: environments },
    }),
    ...(!sameJson(policy, state.policy) && { policy: { before: state.policy, after: policy } }),
  };
  if (Object.keys(changes).length === 0) return accept();
  return accept({
    type: 'KeyspacePolicyChanged',
    data: { keyspaceId: state.keyspaceId, changes, changedAt: command.now },
  });
}

function invalid(errors: FieldError[]): Decision<KeyspaceEvent> {
  return refuse(refusal('UNPROCESSABLE', 'The keyspace cannot be as it was asked for.', errors));
}

function prefixErrors(prefix: string): FieldError[] {
  const fix = `2 to 12 of a-z and 0-9, a letter first, e.g. "${DEFAULT_PREFIX}"`;
  if (!PREFIX_PATTERN.test(prefix)) return [{ field: 'prefix', message: 'is not a prefix', fix }];
  const stem = prefix.endsWith(PUBLISHABLE_SUFFIX) ? prefix.slice(0, -PUBLISHABLE_SUFFIX.length) : '';
  if (!PREFIX_PATTERN.test(stem)) return [];
  const message = `ends in "${PUBLISHABLE_SUFFIX}", as the publishable keys of a keyspace "${stem}" do`;
  return [{ field: 'prefix', message, fix: `choose a prefix that does not end in "${PUBLISHABLE_SUFFIX}"` }];
}

function environmentErrors(environments: string[]): FieldError[] {
  if (environments.length === 0) {
    return [{ field: 'environments', message: 'is empty', fix: 'name at least one environment' }];
  }
  return environments.flatMap((environment, index) => {
    const field = `environments[${index}]`;
    if (!ENVIRONMENT_PATTERN.test(environment)) {
      return [{ field, message: 'is not an environment', fix: '2 to 12 of a-z and 0-9, a letter first' }];
    }
    return environments.indexOf(environment) < index
      ? [{ field, message: 'stands there twice', fix: 'name each environment once' }]
      : [];
  });
}

function policyErrors(policy: KeyspacePolicy, environments: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const { usual, most, least } of LENGTHS) {
    const [usualSeconds, mostSeconds] = [lengthOf(policy[usual], least), lengthOf(policy[most], least)];
    if (usualSeconds === undefined) errors.push(noLength(usual));
    if (mostSeconds === undefined) errors.push(noLength(most));
    if (usualSeconds !== undefined && mostSeconds !== undefined && usualSeconds > mostSeconds) {
      const message = `is longer than policy.${most} (${policy[most]})`;
      errors.push({ field: `policy.${usual}`, message, fix: `at most ${policy[most]}` });
    }
  }
  const scopes = policy.scopes ?? [];
  for (const [index, scope] of scopes.entries()) {
    const field = `policy.scopes[${index}]`;
    if (!isScope(scope)) {
      errors.push({ field, message: 'is not a scope', fix: 'e.g. "payments:read" or "payments:*"' });
    } else if (scopes.indexOf(scope) < index) {
      errors.push({ field, message: 'stands there twice', fix: 'name each scope once' });
    }
  }
  errors.push(...timeErrors(policy), ...leakErrors({ ...policy, environments }));
  return errors;
}

function noLength(name: string): FieldError {
  const fix = 'an ISO-8601 duration of weeks, days, hours, minutes or seconds, e.g. "P90D" or "PT24H"';
  return { field: `policy.${name}`, message: 'is not a usable duration', fix };
}

export function evolveKeyspace(state: KeyspaceState | undefined, event: KeyspaceEvent): KeyspaceState {
  if (event.type === 'KeyspaceCreated') return { ...event.data };
  if (!state) throw new RangeError(`${event.type} stands before the keyspace was created`);
  if (event.type === 'KeyspaceArchived') return { ...state, archivedAt: event.data.archivedAt };
  const { name, environments, policy } = event.data.changes;
  return {
    ...state,
    ...(name?.after !== undefined && { name: name.after }),
    ...(environments?.after && { environments: environments.after }),
    ...(policy?.after && { policy: policy.after }),
  };
}
