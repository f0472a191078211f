import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import { EventStore } from '@keyledger/event-store';

/**
 * Tells whoever follows the trail that there is more to read. One subscription for all of them, while there are any; it
 * carries no events, so a follower who is slow keeps nothing and nobody waiting.
 */
export class TrailNews {
  private listeners = 0;
  private wakeAll: () => void = () => undefined;
  private news = Promise.resolve();
  private following: AbortController | undefined;

  constructor(private readonly store: EventStore) {}

  get followers(): number {
    return this.listeners;
  }

  /** Begins to listen; call the result when done. */
  async join(): Promise<() => void> {
    this.listeners += 1;
    if (this.listeners === 1) {
      this.following = new AbortController();
      this.arm();
      void this.follow(this.following.signal);
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.listeners -= 1;
      if (this.listeners === 0) this.following?.abort();
    };
  }

  /** Resolves when something is appended after this call. Ask for it before you read, then nothing is missed. */
  next(): Promise<void> {
    return this.news;
  }

  private async follow(signal: AbortSignal): Promise<void> {
    try {
      const after = await this.store.head();
      this.wake();
      const options = { after, streamPrefixes: AUDITED_STREAM_PREFIXES, signal };
      for await (const _ of this.store.subscribeStored(options)) this.wake();
    } catch {
      // A follower that hears nothing looks by itself, at every heartbeat; the next one that joins begins anew.
    }
  }

  private arm(): void {
    this.news = new Promise((resolve) => (this.wakeAll = resolve));
  }

  private wake(): void {
    const { wakeAll } = this;
    this.arm();
    wakeAll();
  }
}
