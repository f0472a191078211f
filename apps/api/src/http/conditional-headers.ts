import { refusal } from '@keyledger/contracts';
import { invalidField, RefusalError } from '@keyledger/platform';

const MAX_KEY_LENGTH = 255;

/**
 * The value of an Idempotency-Key header: a quoted string as the draft has it (RFC 8941 section 3.3.3), or bare as most
 * clients send it; both forms of one text are the same key.
 * @throws RefusalError 400
 */
export function parseIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const text = typeof header === 'string' ? header.trim() : '';
  const quoted = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1');
  const key = quoted ?? (/^[\x21\x23-\x2b\x2d-\x7e]+$/.test(text) ? text : '');
  if (key.length >= 1 && key.length <= MAX_KEY_LENGTH) return key;
  const fix = `1 to ${MAX_KEY_LENGTH} visible ASCII characters, e.g. a UUID, once per intent`;
  throw invalidField('Idempotency-Key', 'is not usable', fix);
}

/**
 * The revision that an If-Match header expects (RFC 9110 section 13.1.1). `*` expects nothing more than that there is a
 * resource, which every change does. A weak tag never matches, and a list would name a revision that is long gone.
 * @throws RefusalError 400 if it cannot be read, 412 for a weak tag
 */
export function parseIfMatch(header: string | undefined): number | undefined {
  const text = header?.trim();
  if (text === undefined || text === '*') return undefined;
  const revision = /^"(\d{1,15})"$/.exec(text)?.[1];
  if (revision !== undefined) return Number(revision);
  if (/^W\/"\d{1,15}"$/.test(text)) {
    throw new RefusalError(refusal('PRECONDITION_FAILED', 'If-Match carries a weak tag, which never matches.'));
  }
  throw invalidField('If-Match', 'is not a tag of ours', 'the ETag of the resource as it was sent, e.g. "3", or *');
}

/** The strong tag of a revision. */
export const etagOf = (revision: number): string => `"${revision}"`;
