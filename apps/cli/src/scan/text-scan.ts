import { maskOf } from '@keyledger/domain';
import { findKeys, latin1, LONGEST_KEY } from './find-keys.js';
import { newlinesIn } from './newlines.js';

/** Something that looks like a key, and where. */
export interface Match {
  rule: string;
  /** What may be shown of it. */
  mask: string;
  line: number;
  column: number;
  /** The key itself, of our format only; for whoever reports it. */
  key?: string;
}

export interface ScanRules {
  /** Only keys with these prefixes; the publishable ones belong to theirs. */
  prefixes?: readonly string[];
  /** Further secrets, by name and expression (global). */
  patterns: readonly { name: string; expression: RegExp }[];
}

export const KEY_RULE = 'keyledger-key';
export const ALLOW = 'keyledger:allow';
/** How far around a match its line is looked at, and how long a match of a further pattern can be. */
const REACH = 4096;
const NEWLINE = 0x0a;
const UNDERSCORE = 0x5f;
/** What is looked at in one go: little enough to stay in the processor's cache. */
export const PIECE_BYTES = 1 << 18;

/** Scans one text that comes in pieces of any size, in memory that does not grow with it or with its lines. */
export class TextScan {
  /** What was held back of the pieces before, at the head of `room`, where the next piece is put behind it. */
  private held: Buffer = Buffer.alloc(0);
  private room: Buffer | undefined;
  /** Where `held` begins in the text, its line, and where that line begins. */
  private offset = 0;
  private line = 1;
  private lineStart = 0;
  /** Matches that end at or before this place have been told. */
  private told = 0;

  constructor(
    private readonly rules: ScanRules,
    private readonly found: (match: Match) => void,
  ) {}

  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.next(bytes.subarray(at, at + PIECE_BYTES));
  }

  private next(piece: Buffer): void {
    this.room ??= Buffer.allocUnsafeSlow(2 * REACH + PIECE_BYTES);
    const { length } = this.held;
    piece.copy(this.room, length);
    const text = this.room.subarray(0, length + piece.length);
    this.tell(text, text.length - REACH);
    const drop = Math.max(0, text.length - 2 * REACH);
    this.pass(text, drop);
    this.room.copyWithin(0, drop, text.length);
    this.held = this.room.subarray(0, text.length - drop);
  }

  end(): void {
    this.tell(this.held, this.held.length);
    this.held = Buffer.alloc(0);
  }

  /** Tells the matches that end at or before a place of `text` and were not told before. */
  private tell(text: Buffer, until: number): void {
    const after = this.told - this.offset;
    if (until <= after) return;
    const matches: [start: number, end: number, rule: string][] = [];
    const from = Math.max(0, after - LONGEST_KEY);
    const underscore = text.indexOf(UNDERSCORE, from);
    if (underscore >= 0) {
      findKeys(text, underscore, (start, end) => {
        if (end > after && end <= until) matches.push([start, end, KEY_RULE]);
      });
    }
    if (this.rules.patterns.length > 0) this.matchPatterns(text, after, until, matches);
    if (matches.length === 0) {
      this.told = this.offset + until;
      return;
    }
    const lines = new Lines(text, this.line, this.lineStart - this.offset);
    for (const [start, end, rule] of matches.sort(([one], [other]) => one - other)) {
      const place = lines.placeOf(start);
      const key = latin1(text, start, end);
      if (!this.wanted(rule, key) || lines.around(start, end).includes(ALLOW)) continue;
      const mask = rule === KEY_RULE ? maskOf(key) : `${key.slice(0, Math.min(4, key.length >> 2))}…`;
      this.found({ rule, mask, ...place, ...(rule === KEY_RULE && { key }) });
    }
    this.told = this.offset + until;
  }

  private matchPatterns(text: Buffer, after: number, until: number, matches: [number, number, string][]): void {
    const chars = text.toString('latin1');
    for (const { name, expression } of this.rules.patterns) {
      for (const { 0: match, index } of chars.matchAll(expression)) {
        const end = index + match.length;
        if (match !== '' && end > after && end <= until) matches.push([index, end, name]);
      }
    }
  }

  private wanted(rule: string, key: string): boolean {
    const { prefixes } = this.rules;
    if (rule !== KEY_RULE || !prefixes) return true;
    const prefix = key.slice(0, key.indexOf('_'));
    return prefixes.some((one) => prefix === one || prefix === `${one}pk`);
  }

  private pass(text: Buffer, count: number): void {
    this.line += newlinesIn(text, count);
    const last = count > 0 ? text.lastIndexOf(NEWLINE, count - 1) : -1;
    if (last >= 0) this.lineStart = this.offset + last + 1;
    this.offset += count;
  }
}

/** Lines and columns of places that are asked for in their order. */
class Lines {
  private at = 0;

  constructor(
    private readonly text: Buffer,
    private line: number,
    /** Where the line begins in which `at` lies; before the text if it began earlier. */
    private start: number,
  ) {}

  placeOf(place: number): { line: number; column: number } {
    for (let next = this.text.indexOf(NEWLINE, this.at); next >= 0 && next < place;) {
      this.line++;
      this.start = next + 1;
      next = this.text.indexOf(NEWLINE, this.start);
    }
    this.at = place;
    // In characters as editors count; in bytes where the line is no line of a person.
    const before = place - this.start;
    const known = this.start >= 0 && before <= REACH;
    return { line: this.line, column: 1 + (known ? this.text.toString('utf8', this.start, place).length : before) };
  }

  /** The line of a match, as far as it is near. */
  around(start: number, end: number): string {
    const next = this.text.indexOf(NEWLINE, end);
    const until = Math.min(next < 0 ? this.text.length : next, end + REACH);
    return latin1(this.text, Math.max(0, this.start, start - REACH), until);
  }
}
