import { createHash, randomBytes } from 'node:crypto';

/**
 * The next revision of every stream, at 12 bytes a slot: a log of ten million events may have millions of streams. A
 * stream is known by 64 bits of a salted hash; two of a million streams fall together once in forty million checks.
 */
export class StreamRevisions {
  private readonly salt = randomBytes(16);
  private slots = 1 << 16;
  private used = 0;
  private keys = new Uint32Array(2 * this.slots);
  private next = new Uint32Array(this.slots);

  /** Takes an event's place in its stream; gives the revision that was to come, which is another one at a gap. */
  take(stream: string, revision: number): number {
    if (this.used * 10 > this.slots * 7) this.grow();
    const digest = createHash('sha256').update(this.salt).update(stream).digest();
    // Never zero: that marks an empty slot.
    const [high, low] = [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)];
    const slot = this.slotOf(high, low);
    const expected = this.keys[2 * slot] === 0 ? 0 : (this.next[slot] ?? 0);
    if (this.keys[2 * slot] === 0) this.used += 1;
    this.keys[2 * slot] = high;
    this.keys[2 * slot + 1] = low;
    this.next[slot] = revision + 1;
    return expected;
  }

  private slotOf(high: number, low: number): number {
    let slot = low % this.slots;
    while (this.keys[2 * slot] !== 0 && (this.keys[2 * slot] !== high || this.keys[2 * slot + 1] !== low)) {
      slot = (slot + 1) % this.slots;
    }
    return slot;
  }

  private grow(): void {
    const { keys, next, slots } = this;
    this.slots = 2 * slots;
    this.keys = new Uint32Array(2 * this.slots);
    this.next = new Uint32Array(this.slots);
    for (let old = 0; old < slots; old += 1) {
      const [high = 0, low = 0] = [keys[2 * old], keys[2 * old + 1]];
      if (high === 0) continue;
      const slot = this.slotOf(high, low);
      this.keys[2 * slot] = high;
      this.keys[2 * slot + 1] = low;
      this.next[slot] = next[old] ?? 0;
    }
  }
}
