import { maskOf } from '@keyledger/domain/key-format';
import { findKeys, TAIL } from './find-keys.js';
import { lineRoom } from './newlines.js';

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
export const REACH = 4096;
const NEWLINE = 0x0a;
/** What is looked at in one go: little enough to stay in the processor's cache. */
const ROOM_BYTES = 2 * REACH + (1 << 18);

/**
 * Scans texts, one after the other, each in pieces of any size, in memory that does not grow with a text or its lines.
 * The pieces are put into `space`, or handed to `feed`.
 */
export class TextScan {
  private readonly room = lineRoom(ROOM_BYTES);
  /** How much of the room is taken: what was held back of the pieces before. */
  private taken = 0;
  /** Where the room begins in the text, its line, and where that line begins. */
  private offset = 0;
  private line = 1;
  private lineStart = 0;
  /** Matches that end at or before this place have been told. */
  private told = 0;

  constructor(
    private readonly rules: ScanRules,
    private readonly found: (match: Match) => void,
  ) {}

  /** Where the next bytes of the text may be put; never empty, good until they are taken. */
  get space(): Buffer {
    return this.room.bytes.subarray(this.taken);
  }

  /** Takes so many bytes that stand in `space`. */
  take(count: number): void {
    this.taken += count;
    const drop = this.taken - 2 * REACH;
    if (drop <= 0) return;
    this.tell(this.taken - REACH);
    this.pass(drop);
    this.room.bytes.copyWithin(0, drop, this.taken);
    this.taken -= drop;
  }

  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const count = bytes.copy(this.space, 0, at);
      this.take(count);
      at += count;
    }
  }

  /** The text has ended; what comes next is another. */
  end(): void {
    this.tell(this.taken);
    this.taken = 0;
    this.offset = 0;
    this.line = 1;
    this.lineStart = 0;
    this.told = 0;
  }

  /** Tells the matches that end at or before a place of the room and were not told before. */
  private tell(until: number): void {
    const after = this.told - this.offset;
    if (until <= after) return;
    const text = this.room.bytes.subarray(0, this.taken);
    const matches: [start: number, end: number, rule: string][] = [];
    findKeys(text, Math.max(0, after - TAIL), (start, end) => {
      if (end > after && end <= until) matches.push([start, end, KEY_RULE]);
    });
    if (this.rules.patterns.length > 0) this.matchPatterns(text, after, until, matches);
    if (matches.length > 0) this.tellPlaces(text, matches);
    this.told = this.offset + until;
  }

  private tellPlaces(text: Buffer, matches: [start: number, end: number, rule: string][]): void {
    const lines = new Lines(text, this.line, this.lineStart - this.offset);
    for (const [start, end, rule] of matches.sort(([one], [other]) => one - other)) {
      const place = lines.placeOf(start);
      const key = text.toString('latin1', start, end);
      if (!this.wanted(rule, key) || lines.around(start, end).includes(ALLOW)) continue;
      const mask = rule === KEY_RULE ? maskOf(key) : `${key.slice(0, Math.min(4, key.length >> 2))}…`;
      this.found({ rule, mask, ...place, ...(rule === KEY_RULE && { key }) });
    }
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

  private pass(count: number): void {
    this.line += this.room.newlinesIn(count);
    const last = this.room.bytes.lastIndexOf(NEWLINE, count - 1);
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
    return this.text.toString('latin1', Math.max(0, this.start, start - REACH), until);
  }
}
