import type { FieldError, Refusal } from '@keyledger/contracts';
import { refusalOf } from '@keyledger/platform';
import { translateFailure } from './failures.js';

const AT_ONCE = 16;

/**
 * Does something with every item, a few at a time, and gives a result for each in their order. What is refused is a
 * result like another. Once a part that the work needs cannot be reached no further item is begun, since each would only
 * wait in vain; what is left is refused as not tried. If nothing at all could be done, that failure is thrown.
 */
export async function forEachItem<T, R>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<R>,
  refused: (item: T, index: number, reason: Refusal) => R,
): Promise<{ results: R[]; complete: boolean }> {
  const results: R[] = [];
  let next = 0;
  let answered = 0;
  let failure: unknown;
  let down: Refusal | undefined;
  const one = async (item: T, index: number): Promise<R> => {
    if (down) return refused(item, index, { ...down, detail: `Not tried: ${down.detail}` });
    try {
      const result = await work(item, index);
      answered++;
      return result;
    } catch (error) {
      const { refusal } = refusalOf(error, translateFailure);
      if (refusal.code === 'INTERNAL') throw error;
      if (refusal.code === 'UNAVAILABLE') {
        failure ??= error;
        down ??= refusal;
      } else answered++;
      return refused(item, index, refusal);
    }
  };
  const lane = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await one(items[index] as T, index);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
  if (down && answered === 0) throw failure;
  return { results, complete: !down };
}

/** A refusal of one item, its fields under the item's own path. */
export function itemError({ code, detail, errors }: Refusal, path?: string) {
  const located = errors?.map((error): FieldError => (path ? { ...error, field: `${path}.${error.field}` } : error));
  return { code, detail, ...(located && { errors: located }) };
}
