/**
 * A DTO as the plain data that goes into commands and events: without the members that were left out, which a class
 * instance carries as `undefined`, and without its class.
 */
export function plain<T>(value: T): T {
  if (Array.isArray(value)) return value.map((item: unknown) => plain(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given.map(([name, item]) => [name, plain(item as unknown)])) as T;
}
