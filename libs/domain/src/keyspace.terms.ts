import { durationSeconds, type FieldError, type KeyspacePolicy, type RotationPolicy } from '@keyledger/contracts';

const MOST_WARNINGS = 10;
const MOST_LEAK_RULES = 50;
const DURATION_FIX = 'an ISO-8601 duration, e.g. "P7D" or "PT1H"';

/** The length behind the word of a rule such as `when-idle:PT1H`, or `undefined` where there is none. */
export function lengthBehind(word: string, rule: string): number | undefined {
  return rule.startsWith(`${word}:`) ? durationSeconds(rule.slice(word.length + 1)) : undefined;
}

/** What is wrong with what a policy says about the time of keys and secrets. */
export function timeErrors(policy: KeyspacePolicy): FieldError[] {
  const { expiryWarnings, rotation, endGrace, failedDelivery, unused } = policy;
  const errors: FieldError[] = [];
  if (expiryWarnings.length > MOST_WARNINGS) {
    const field = 'policy.expiryWarnings';
    errors.push({ field, message: `has more than ${MOST_WARNINGS} entries`, fix: `at most ${MOST_WARNINGS}` });
  }
  for (const [index, warning] of expiryWarnings.entries()) {
    const field = `policy.expiryWarnings[${index}]`;
    if (!positive(warning)) errors.push({ field, message: 'is not a usable duration', fix: DURATION_FIX });
    else if (expiryWarnings.indexOf(warning) < index) {
      errors.push({ field, message: 'stands there twice', fix: 'name each warning once' });
    }
  }
  if (rotation) errors.push(...rotationErrors('policy.rotation', rotation, policy));
  if (endGrace !== 'at-deadline' && !lengthBehind('when-idle', endGrace)) {
    const fix = '"at-deadline", or "when-idle:" and an ISO-8601 duration, e.g. "when-idle:PT1H"';
    errors.push({ field: 'policy.endGrace', message: 'is no rule for the end of a grace', fix });
  }
  if (failedDelivery !== 'keep' && !lengthBehind('extend', failedDelivery)) {
    const fix = '"keep", or "extend:" and an ISO-8601 duration, e.g. "extend:P7D"';
    errors.push({ field: 'policy.failedDelivery', message: 'is no rule for a failed delivery', fix });
  }
  if (unused && !positive(unused.after)) {
    errors.push({ field: 'policy.unused.after', message: 'is not a usable duration', fix: DURATION_FIX });
  }
  return errors;
}

/** What is wrong with a rotation rule of a keyspace or a key. A grace as long as the period would never end. */
export function rotationErrors(
  path: string,
  { every, grace }: RotationPolicy,
  { maxGrace }: Pick<KeyspacePolicy, 'maxGrace'>,
): FieldError[] {
  const errors: FieldError[] = [];
  const [period, overlap, most] = [durationSeconds(every), durationSeconds(grace), durationSeconds(maxGrace)];
  if (!positive(every)) {
    errors.push({ field: `${path}.every`, message: 'is not a usable duration', fix: DURATION_FIX });
  }
  if (overlap === undefined) {
    errors.push({ field: `${path}.grace`, message: 'is not a usable duration', fix: DURATION_FIX });
  } else if (most !== undefined && overlap > most) {
    errors.push({ field: `${path}.grace`, message: `is longer than policy.maxGrace`, fix: `at most ${maxGrace}` });
  } else if (period !== undefined && overlap >= period) {
    errors.push({ field: `${path}.grace`, message: `is not shorter than ${path}.every`, fix: `less than ${every}` });
  }
  return errors;
}

/** What is wrong with the responses to leaks. */
export function leakErrors({ leaks, environments = [], maxGrace }: LeakTerms): FieldError[] {
  const errors: FieldError[] = [];
  if (leaks.length > MOST_LEAK_RULES) {
    errors.push({ field: 'policy.leaks', message: 'has too many rules', fix: `at most ${MOST_LEAK_RULES}` });
  }
  for (const [index, { response, environment, kind }] of leaks.entries()) {
    const field = `policy.leaks[${index}]`;
    const grace = lengthBehind('rotate', response);
    if (!['revoke', 'suspend', 'alert'].includes(response) && grace === undefined) {
      const fix = '"revoke", "suspend", "alert", or "rotate:" and a duration, e.g. "rotate:PT1H"';
      errors.push({ field: `${field}.response`, message: 'is no response to a leak', fix });
    }
    if (grace !== undefined && grace > (durationSeconds(maxGrace) ?? 0)) {
      errors.push({
        field: `${field}.response`,
        message: 'is longer than policy.maxGrace',
        fix: `at most ${maxGrace}`,
      });
    }
    if (environment !== undefined && environments.length > 0 && !environments.includes(environment)) {
      const fix = `one of ${environments.join(', ')}`;
      errors.push({ field: `${field}.environment`, message: 'is no environment of the keyspace', fix });
    }
    if (kind === 'publishable' && response === 'revoke') {
      const message = 'would revoke publishable keys, which anybody may see, by a report alone';
      errors.push({ field: `${field}.response`, message, fix: '"alert", "suspend" or "rotate:PT1H"' });
    }
  }
  return errors;
}

type LeakTerms = Pick<KeyspacePolicy, 'leaks' | 'maxGrace'> & { environments?: readonly string[] };

function positive(duration: string): boolean {
  return (durationSeconds(duration) ?? 0) > 0;
}
