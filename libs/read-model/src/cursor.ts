import { createHash } from 'node:crypto';

/** The cursor is not one of ours, or belongs to another query. */
export class BadCursor extends Error {
  constructor() {
    super('the cursor does not belong to this query');
    this.name = 'BadCursor';
  }
}

/**
 * Ties a cursor to its query, so that it is refused where it would skip or repeat: to everything that says which items
 * there are, the keyspaces that are looked in included.
 */
export function sealOf(filters: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(filters)).digest('base64url').slice(0, 8);
}

/** The keyspaces, channels or the like that are looked in, whatever their order. */
export const inAnyOrder = (within: 'all' | readonly string[] | undefined): unknown =>
  typeof within === 'object' ? [...new Set(within)].sort() : within;

/** Where a page ended, in as many texts as its list needs. */
export function cursorOf(seal: string, ...place: string[]): string {
  return Buffer.from(JSON.stringify([seal, ...place])).toString('base64url');
}

/** The place that a cursor names. @throws BadCursor */
export function openCursor(cursor: string | undefined, seal: string, length: number): string[] | undefined {
  if (cursor === undefined) return undefined;
  const parts = /^[\w-]{1,1000}$/.test(cursor) ? jsonIn(Buffer.from(cursor, 'base64url').toString()) : undefined;
  const fits = Array.isArray(parts) && parts.length === length + 1 && parts.every((part) => typeof part === 'string');
  if (!fits || parts[0] !== seal) throw new BadCursor();
  return parts.slice(1);
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
