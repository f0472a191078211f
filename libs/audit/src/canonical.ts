/** A value that JSON has. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A value has no canonical JSON; `path` (a JSON Pointer, RFC 6901) says where. */
export class NotJson extends Error {
  override readonly name = 'NotJson';
  constructor(
    readonly path: string,
    problem: string,
  ) {
    super(`${path || 'the value'} ${problem}`);
  }
}

/** Deeper values are refused, long before they would take the stack. */
export const MAX_JSON_DEPTH = 500;

/** Text that is written as it is: printable ASCII without quote and backslash, as most text is. */
const PLAIN = /^[ !#-[\]-~]*$/;
/** With the `u` flag a pair is one character, so what is left to match stands alone. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The one text of a JSON value (RFC 8785): no white space, members sorted by UTF-16 code units, numbers and strings as
 * ECMAScript writes them.
 * @throws NotJson for what JSON has no word for: undefined (also as a member or a hole), NaN and infinities, bigint,
 * functions, symbols, objects of a class, lone surrogates; and for values deeper than `MAX_JSON_DEPTH`, cycles included
 */
export function canonicalJson(value: unknown): string {
  return write(value, undefined, 0);
}

/** Where a value stands; made into text only for an error. */
interface Place {
  parent: Place | undefined;
  name: string | number;
}

function write(value: unknown, place: Place | undefined, depth: number): string {
  switch (typeof value) {
    case 'string':
      return text(value, place);
    case 'number':
      if (!Number.isFinite(value)) throw refuse(place, `is ${value}, which JSON has not`);
      // ECMAScript writes -0 as 0, as section 3.2.2.3 asks.
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_JSON_DEPTH) throw refuse(place, `is nested deeper than ${MAX_JSON_DEPTH} levels`);
      return Array.isArray(value) ? list(value, place, depth) : members(value, place, depth);
    default:
      throw refuse(place, `is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}, which JSON has not`);
  }
}

function text(value: string, place: Place | undefined): string {
  if (PLAIN.test(value)) return `"${value}"`;
  if (LONE_SURROGATE.test(value)) throw refuse(place, 'holds a lone surrogate, which is no Unicode text');
  return JSON.stringify(value);
}

function list(values: readonly unknown[], parent: Place | undefined, depth: number): string {
  let written = '[';
  for (let index = 0; index < values.length; index += 1) {
    if (index > 0) written += ',';
    written += write(values[index], { parent, name: index }, depth + 1);
  }
  return `${written}]`;
}

function members(value: object, parent: Place | undefined, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  // JSON.parse of another realm gives objects of another Object.prototype: its own prototype is null all the same.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!plain || Object.getOwnPropertySymbols(value).length > 0) throw refuse(parent, 'is no plain object');
  let written = '{';
  // The order of `sort` without a comparison is that of UTF-16 code units.
  for (const name of Object.keys(value).sort()) {
    const place = { parent, name };
    if (written !== '{') written += ',';
    written += `${text(name, place)}:${write((value as Record<string, unknown>)[name], place, depth + 1)}`;
  }
  return `${written}}`;
}

function refuse(place: Place | undefined, problem: string): NotJson {
  const names: string[] = [];
  for (let at = place; at; at = at.parent) {
    names.unshift(String(at.name).replaceAll('~', '~0').replaceAll('/', '~1'));
  }
  return new NotJson(names.map((name) => `/${name}`).join(''), problem);
}
