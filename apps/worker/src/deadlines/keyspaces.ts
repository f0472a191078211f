import { streams, type KeyspaceEvent, type RecordedEvent } from '@keyledger/contracts';
import { evolveKeyspace, keyspaceDecider, type KeyspaceState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';

interface Known {
  state: KeyspaceState;
  revision: number;
}

/** The keyspaces and their policies, few enough for memory: read once, then followed. */
export class Keyspaces {
  private readonly known = new Map<string, Known>();
  /** Grows with every event, so that a read which was overtaken is not kept. */
  private heard = 0;

  constructor(private readonly decisions: Decisions) {}

  /** @throws as `Decisions.load`; RangeError for one that does not exist */
  async of(keyspaceId: string): Promise<KeyspaceState> {
    const state = await this.find(keyspaceId);
    if (!state) throw new RangeError(`there is no keyspace ${keyspaceId}`);
    return state;
  }

  /** Of each id its keyspace, or what `of` would have thrown. */
  async ofAll(keyspaceIds: Iterable<string>): Promise<Map<string, KeyspaceState | Error>> {
    const found = new Map<string, KeyspaceState | Error>();
    for (const id of new Set(keyspaceIds)) {
      found.set(id, this.peek(id) ?? (await this.of(id).catch((error: unknown) => error as Error)));
    }
    return found;
  }

  /** @throws as `Decisions.load` */
  async find(keyspaceId: string): Promise<KeyspaceState | undefined> {
    const known = this.known.get(keyspaceId);
    if (known) return known.state;
    const { heard } = this;
    const { state, revision } = await this.decisions.load(keyspaceDecider, streams.keyspace(keyspaceId));
    if (state && heard === this.heard) this.known.set(keyspaceId, { state, revision });
    return state;
  }

  /** What is known without asking. */
  peek(keyspaceId: string): KeyspaceState | undefined {
    return this.known.get(keyspaceId)?.state;
  }

  note({ event, revision }: RecordedEvent<KeyspaceEvent>): void {
    this.heard += 1;
    const { keyspaceId } = event.data;
    const known = this.known.get(keyspaceId);
    if (!known || revision <= known.revision) return;
    if (revision === known.revision + 1)
      this.known.set(keyspaceId, { state: evolveKeyspace(known.state, event), revision });
    else this.known.delete(keyspaceId);
  }
}
