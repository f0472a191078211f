/** Filters of `$all`: by stream name or event type, by prefixes or by a regular expression, on the stored bytes. */
import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';
import type { FilterSpec } from '../wire/read-messages.js';
import { locateNames, type NameSpans } from '../wire/recorded-event.js';
import { MalformedMessage } from '../wire/protobuf.js';

export type RecordFilter = (record: Buffer) => boolean;

/**
 * Expressions come from clients and run for every event: no longer than a person writes by hand, and no larger when their
 * repetitions are written out.
 */
const MAX_REGEX_LENGTH = 512;
const MAX_REGEX_STEPS = 512;
const MAX_PREFIXES = 256;

/** @throws MalformedMessage when the expression is too long or not one */
export function compileFilter(spec: FilterSpec): RecordFilter {
  const matches = spec.regex === '' ? prefixMatcher(spec.prefixes) : regexMatcher(spec.regex);
  const spans: NameSpans = { streamStart: 0, streamEnd: 0, typeStart: 0, typeEnd: 0 };
  return (record) => {
    locateNames(record, spans);
    return spec.on === 'stream'
      ? matches(record, spans.streamStart, spans.streamEnd)
      : matches(record, spans.typeStart, spans.typeEnd);
  };
}

type SpanMatcher = (record: Buffer, start: number, end: number) => boolean;

function prefixMatcher(prefixes: readonly string[]): SpanMatcher {
  if (prefixes.length > MAX_PREFIXES) throw new MalformedMessage(`a filter takes up to ${MAX_PREFIXES} prefixes`);
  const encoded = prefixes.map((prefix) => Buffer.from(prefix, 'utf8'));
  return (record, start, end) => {
    for (const prefix of encoded) if (startsWith(record, start, end, prefix)) return true;
    return false;
  };
}

function startsWith(record: Buffer, start: number, end: number, prefix: Buffer): boolean {
  if (end - start < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (record[start + at] !== prefix[at]) return false;
  return true;
}

/**
 * The real server's expressions are .NET's, which can take for ever; these are RE2's, whose time grows with the text and no
 * faster. What RE2 does not have (a look around, a reference back) is refused.
 */
function regexMatcher(pattern: string): SpanMatcher {
  if (pattern.length > MAX_REGEX_LENGTH) {
    throw new MalformedMessage(`the filter's regex has ${pattern.length} characters; ${MAX_REGEX_LENGTH} are allowed`);
  }
  let regex: RE2JS;
  try {
    regex = re2().compile(pattern);
  } catch (error) {
    throw new MalformedMessage(`the filter's regex is not valid: ${(error as Error).message}`);
  }
  const steps = regex.programSize();
  if (steps > MAX_REGEX_STEPS) {
    throw new MalformedMessage(`the filter's regex has ${steps} steps; ${MAX_REGEX_STEPS} are allowed`);
  }
  return (record, start, end) => regex.test(record.toString('utf8', start, end));
}

/** Loaded when it is first needed: our own clients filter by prefixes, and it would cost each start. */
function re2(): typeof RE2JS {
  return (createRequire(import.meta.url)('re2js') as { RE2JS: typeof RE2JS }).RE2JS;
}
