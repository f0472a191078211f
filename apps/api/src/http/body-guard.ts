import { PERSONAL_TOKEN_PREFIX, refusal } from '@keyledger/contracts';
import { holdsKey, invalidField, RefusalError } from '@keyledger/platform';

const MAX_DEPTH = 16;
/** The member in which a key is presented. */
const PRESENTED = 'key';

/**
 * Refuses what the class-transformer would fall over, or drop in silence, before it sees it: bodies that are no object,
 * that nest too deep, or whose names are those of what every object inherits (`constructor`, `toString`). Lists within
 * lists: the class-validator would take the items of the inner one for those of the outer. And texts that would be taken
 * for encrypted personal data: copied from an export to where their author may read, they would be shown.
 * And whole keys anywhere but where one is presented: what is recorded is recorded for ever.
 * @param keysAreMasked whether the route itself takes keys out of whatever it records
 * @throws RefusalError 400
 */
export function assertPlainBody(body: unknown, keysAreMasked = false): void {
  if (body === undefined || body === null) return;
  if (typeof body !== 'object' || Array.isArray(body)) {
    const error = { field: 'body', message: 'is not a JSON object', fix: 'send {…}' };
    throw new RefusalError(refusal('INVALID', 'The body is not a JSON object.', [error]));
  }
  const open: { value: object; path: string; depth: number }[] = [{ value: body, path: '', depth: 1 }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, path, depth } = next;
    if (depth > MAX_DEPTH) throw invalidField(path, 'nests too deep', `at most ${MAX_DEPTH} levels`);
    for (const [name, item] of Object.entries(value) as [string, unknown][]) {
      const field = Array.isArray(value) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
      if (!Array.isArray(value) && name in Object.prototype) {
        throw invalidField(field, 'is a name that is not allowed', 'choose another name, or leave it out');
      }
      if (!keysAreMasked && field !== PRESENTED) assertNoKey(path, field, name, item);
      if (typeof item === 'string' && item.startsWith(PERSONAL_TOKEN_PREFIX)) {
        throw invalidField(
          field,
          'is encrypted personal data',
          `a text that does not begin with "${PERSONAL_TOKEN_PREFIX}"`,
        );
      }
      if (Array.isArray(item) && Array.isArray(value)) {
        throw invalidField(field, 'is a list within a list', 'no list here holds lists; send what belongs in this one');
      }
      if (typeof item === 'object' && item !== null) open.push({ value: item, path: field, depth: depth + 1 });
    }
  }
}

function assertNoKey(path: string, field: string, name: string, item: unknown): void {
  if (holdsKey(name)) throw invalidField(path || 'body', 'has a whole key for a name', 'without the key');
  if (typeof item !== 'string' || !holdsKey(item)) return;
  throw invalidField(field, 'holds a whole key, and would be recorded', 'without the key');
}
