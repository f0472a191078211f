/** A member of an object, at its place in the canonical order. */
export interface Member {
  name: string;
  /** What stands before its value: a comma unless it is the first, its name, a colon. `undefined`: no Unicode text. */
  opening: Uint8Array | undefined;
}

/** Names in one object, and characters in one name, that are worth remembering. */
const MAX_NAMES = 64;
const MAX_NAME_LENGTH = 64;
/** Members remembered in all, a few hundred bytes each: what anybody may name as he likes must not fill the memory. */
const MAX_REMEMBERED = 4096;

/** The names that an object was made with, in their order; the next may follow. */
class Names {
  readonly next = new Map<string, Names>();
  order: readonly Member[] | undefined;
}

let known = new Names();
let remembered = 0;

/**
 * The canonical order (by UTF-16 code units) of these names, each once. Most objects are of few kinds and every one of
 * a kind has its names in the same order, so the sorted order is remembered under the order they came in.
 */
export function orderOf(names: readonly string[]): readonly Member[] {
  let at: Names | undefined = known;
  for (let place = 0; at && place < names.length; place += 1) at = at.next.get(names[place] as string);
  return at?.order ?? remember(names);
}

function remember(names: readonly string[]): readonly Member[] {
  // The order of `sort` without a comparison is that of UTF-16 code units.
  const order = names.toSorted().map((name, place) => ({ name, opening: openingOf(name, place) }));
  if (names.length > MAX_NAMES || names.some(({ length }) => length > MAX_NAME_LENGTH)) return order;
  remembered += names.length;
  if (remembered > MAX_REMEMBERED) {
    known = new Names();
    remembered = names.length;
  }
  let at = known;
  for (const name of names) {
    const next: Names = at.next.get(name) ?? new Names();
    at.next.set(name, next);
    at = next;
  }
  at.order = order;
  return order;
}

function openingOf(name: string, place: number): Uint8Array | undefined {
  const text = quoted(name);
  return text === undefined ? undefined : Buffer.from(`${place > 0 ? ',' : ''}${text}:`, 'utf8');
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** A text as JSON has it; `undefined` if it holds a lone surrogate, which is no Unicode text. */
export function quoted(text: string): string | undefined {
  const json = JSON.stringify(text);
  // Only a lone surrogate is escaped so; a backslash of the text before `ud` looks the same and is looked at closely.
  // With the `u` flag a pair is one character, so what is left to match stands alone.
  return json.includes('\\ud') && LONE_SURROGATE.test(text) ? undefined : json;
}
