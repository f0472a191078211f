import { MAX_JSON_DEPTH, NotJson } from './canonical.js';

/** RFC 8785, said as plainly as it can be: text joined to text, and the path taken along to every value. */
export function plainCanonicalJson(value: unknown, path = '', depth = 0): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return plainText(value, path);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new NotJson(path, `is ${value}, which JSON has not`);
    return String(value);
  }
  if (typeof value !== 'object') {
    throw new NotJson(path, `is ${value === undefined ? 'undefined' : `a ${typeof value}`}, which JSON has not`);
  }
  if (depth >= MAX_JSON_DEPTH) throw new NotJson(path, `is nested deeper than ${MAX_JSON_DEPTH} levels`);
  const at = (name: string | number): string => `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
  if (Array.isArray(value)) {
    const items = Array.from(value, (item: unknown, index) => plainCanonicalJson(item, at(index), depth + 1));
    return `[${items.join(',')}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!plain || Object.getOwnPropertySymbols(value).length > 0) throw new NotJson(path, 'is no plain object');
  const members = Object.keys(value)
    .sort()
    .map((name) => {
      const member = (value as Record<string, unknown>)[name];
      return `${plainText(name, at(name))}:${plainCanonicalJson(member, at(name), depth + 1)}`;
    });
  return `{${members.join(',')}}`;
}

function plainText(value: string, path: string): string {
  if (/\p{Surrogate}/u.test(value)) throw new NotJson(path, 'holds a lone surrogate, which is no Unicode text');
  return JSON.stringify(value);
}
