import { refusal, type FieldError } from '@keyledger/contracts';
import { RefusalError } from '@keyledger/platform';
import { isUtf8 } from 'node:buffer';

/** One token that GitHub found. */
export interface GithubItem {
  token: string;
  /** The name under which our pattern is registered there. */
  type: string;
  /** Absent where GitHub names none. */
  url?: string;
  /** What kind of place it was, in lower case: `commit`, `issue_comment`, `npm`, or what GitHub adds. */
  place?: string;
}

/** Items in one report. A body of the largest size holds not many more. */
const MOST_ITEMS = 1000;
const LONGEST = { token: 4096, type: 200, url: 2048, source: 200 } as const;

/**
 * The items of a report, from the very bytes that were signed.
 * @throws RefusalError 400 naming what cannot be read, 413 for too many
 */
export function githubItems(body: Buffer): GithubItem[] {
  if (!isUtf8(body)) throw new RefusalError(refusal('MALFORMED', 'The body is not valid UTF-8.'));
  let report: unknown;
  try {
    report = JSON.parse(body.toString('utf8'));
  } catch {
    throw new RefusalError(refusal('MALFORMED', 'The body is not valid JSON.'));
  }
  if (!Array.isArray(report)) {
    const error = { field: 'body', message: 'is not a JSON array', fix: '[{"token", "type", "url", "source"}, …]' };
    throw new RefusalError(refusal('INVALID', 'The body is not a JSON array.', [error]));
  }
  if (report.length > MOST_ITEMS) {
    throw new RefusalError(
      refusal('TOO_LARGE', `A report has at most ${MOST_ITEMS} items; this has ${report.length}.`),
    );
  }
  const errors: FieldError[] = [];
  const items = (report as unknown[]).map((item, index) => itemOf(item, `[${index}]`, errors));
  if (errors.length > 0) {
    const [first] = errors as [FieldError];
    throw new RefusalError(refusal('INVALID', `Not valid: ${first.field} ${first.message}.`, errors.slice(0, 20)));
  }
  return items;
}

function itemOf(item: unknown, path: string, errors: FieldError[]): GithubItem {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) {
    errors.push({ field: path, message: 'is not an object', fix: '{"token", "type", "url", "source"}' });
    return { token: '', type: '' };
  }
  const members = item as Record<string, unknown>;
  const text = (name: keyof typeof LONGEST, needed: boolean): string => {
    const value = members[name] ?? (needed ? undefined : '');
    const longest = LONGEST[name];
    if (typeof value === 'string' && value.length <= longest && (value !== '' || !needed)) return value;
    const fix = `a string of ${needed ? 1 : 0} to ${longest} characters`;
    errors.push({ field: `${path}.${name}`, message: value === undefined ? 'is missing' : 'is no usable text', fix });
    return '';
  };
  const [token, type] = [text('token', true), text('type', true)];
  const [url, place] = [text('url', false), text('source', false).toLowerCase()];
  return { token, type, ...(url !== '' && { url }), ...(place !== '' && { place }) };
}
