/** Lower- or upper-case words joined by `:`, the last of which may be `*`: everything below. A bare `*` is no scope. */
const SCOPE = /^[A-Za-z0-9][A-Za-z0-9_.-]*(?::[A-Za-z0-9][A-Za-z0-9_.-]*)*(?::\*)?$/;

export const MAX_SCOPE_LENGTH = 128;

export function isScope(text: string): boolean {
  return text.length <= MAX_SCOPE_LENGTH && SCOPE.test(text);
}

/** Whether a scope that is held grants one that is wanted: the same, or `a:*` for all that begins with `a:`. */
export function covers(held: string, wanted: string): boolean {
  return held === wanted || (held.endsWith(':*') && wanted.startsWith(held.slice(0, -1)));
}

export function coveredByAny(held: readonly string[], wanted: string): boolean {
  return held.some((scope) => covers(scope, wanted));
}
