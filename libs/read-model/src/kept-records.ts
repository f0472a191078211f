import type { KeyState } from '@keyledger/domain';
import { decodeRecord, type Projected } from './records.js';

type Decoded = Projected<KeyState> | { retiredOf: string };

/** A key as it was read. Others may hold it too: it must not be changed. */
export interface KeyRead extends Projected<KeyState> {
  /** A place beside a record that is kept, for a text that follows from it and nothing else. */
  memo?: { about?: string; text?: string };
}

interface Kept {
  text: string;
  decoded: KeyRead | { retiredOf: string };
}

/** Of record text: some eleven thousand keys of the usual size. What is made of a text takes about four times as much. */
const MOST_CHARACTERS = 8_388_608;
/** When it is full, so many records for each that is kept must have come in vain before it begins anew. */
const REFUSALS_PER_RECORD = 8;

/**
 * Parses records, and gives the same object for a text that has not changed since it was last asked for. This is no
 * cache of keys: it saves no read and decides nothing, because it is asked with the whole text that Redis has just
 * given, and a text means one thing only.
 *
 * When it is full it keeps what it has, and only after many misses forgets all of it: where more keys are in use than
 * fit, a part of them is still found, and parsing is not made dearer by keeping each for nothing.
 */
export class KeptRecords {
  private readonly kept = new Map<string, Kept>();
  private characters = 0;
  private refusals = 0;

  constructor(private readonly mostCharacters = MOST_CHARACTERS) {}

  /**
   * What a record says.
   * @param hash under which the text stood, where its last text may be.
   * @throws ReadModelUnavailable for a text that we did not write.
   */
  decode(hash: string, text: string): KeyRead | { retiredOf: string } {
    const kept = this.kept.get(hash);
    if (kept?.text === text) return kept.decoded;
    const decoded = decodeRecord(text);
    const more = text.length - (kept?.text.length ?? 0);
    if (this.characters + more > this.mostCharacters) {
      this.refuse();
      return decoded;
    }
    const shared = withMemo(decoded);
    this.kept.set(hash, { text, decoded: shared });
    this.characters += more;
    return shared;
  }

  private refuse(): void {
    if (++this.refusals <= this.kept.size * REFUSALS_PER_RECORD) return;
    this.kept.clear();
    this.characters = 0;
    this.refusals = 0;
  }
}

function withMemo(decoded: Decoded): KeyRead | { retiredOf: string } {
  return 'state' in decoded ? { ...decoded, memo: {} } : decoded;
}
