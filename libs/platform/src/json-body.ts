import { refusal } from '@keyledger/contracts';
import type { FastifyInstance } from 'fastify';
import { isUtf8 } from 'node:buffer';
import { invalidField, RefusalError } from './problem.js';

/** What nests deeper is refused by every route for that, so nobody looks into it here. */
const MAX_DEPTH = 64;

/**
 * Bodies are JSON in UTF-8 and nothing else. What the parser would put up with is refused, because the caller and we
 * would read two different things: bytes that are no UTF-8, another charset, a member that comes twice.
 */
export function takeJsonOnly(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error');
  server.removeContentTypeParser(['application/json', 'text/plain']);
  server.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (!saysUtf8(request.headers['content-type'] ?? '')) return done(otherCharset());
    if (!isUtf8(body)) return done(notUtf8());
    const text = body.toString('utf8');
    // Declared as one that may give a promise; it calls back.
    void parse(request, text, (error, value?: unknown) => {
      const twice = error ? undefined : repeatedMember(text);
      if (twice === undefined) done(error, value);
      else done(invalidField(twice, 'comes more than once', 'give it once'));
    });
  });
}

const saysUtf8 = (contentType: string): boolean =>
  !contentType.includes(';') || /charset/i.test(contentType) === /;\s*charset="?utf-?8"?\s*(;|$)/i.test(contentType);

const otherCharset = (): RefusalError =>
  new RefusalError(refusal('UNSUPPORTED_MEDIA_TYPE', 'Send the body as application/json in UTF-8.'));
const notUtf8 = (): RefusalError => new RefusalError(refusal('MALFORMED', 'The body is not valid UTF-8.'));

/** An object or a list that is open at the place where the text is read. */
interface Open {
  /** The names that an object has had so far; a list has none. */
  names?: Set<string>;
  /** The name or the index of the member that is read. */
  at: string | number;
}

/**
 * The path of the first member that its object has twice (`owner.id`, `keys[3].name`), of a text that is valid JSON. One
 * pass over it, and as much memory as there are names.
 */
export function repeatedMember(text: string): string | undefined {
  // With one colon there is one member, as in most of what is verified.
  if (text.indexOf(':') === text.lastIndexOf(':')) return undefined;
  const open: Open[] = [];
  let inner: Open | undefined;
  let isName = false;
  for (let place = 0; place < text.length; place++) {
    switch (text.charCodeAt(place)) {
      case 0x22: {
        const end = endOfString(text, place);
        if (isName && inner?.names) {
          inner.at = stringIn(text, place, end);
          if (inner.names.has(inner.at)) return pathOf(open);
          inner.names.add(inner.at);
          isName = false;
        }
        place = end;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        if (open.length === MAX_DEPTH) return undefined;
        isName = text.charCodeAt(place) === 0x7b;
        inner = isName ? { names: new Set(), at: '' } : { at: 0 };
        open.push(inner);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        inner = open.at(-1);
        isName = false;
        break;
      case 0x2c: // ,
        isName = inner?.names !== undefined;
        if (typeof inner?.at === 'number') inner.at++;
        break;
      default:
    }
  }
  return undefined;
}

/** Where the string ends that begins at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

function isEscaped(text: string, place: number): boolean {
  let before = place;
  while (text.charCodeAt(before - 1) === 0x5c) before--;
  return (place - before) % 2 === 1;
}

/** Two spellings of one name are one name. */
function stringIn(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  return raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
}

function pathOf(open: readonly Open[]): string {
  return open.reduce((path, { at }) => {
    if (typeof at === 'number') return `${path}[${at}]`;
    return path === '' ? at : `${path}.${at}`;
  }, '');
}
