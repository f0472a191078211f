import { stateAt } from '@keyledger/domain';
import { isHeld, KEY_COLUMNS, keyRow, linesOf } from './holdings.js';
import { columns, type Report, type ReportRow } from './report.js';

/** Lines held at once, some 20 MB: a key's line is held for each of its scopes that fit. */
const MOST_LINES = 20_000;

export const scopeHolders: Report = {
  name: 'scope-holders',
  title: 'Who holds which scope',
  description:
    'For every scope the keys that held it at the instant and were neither revoked nor expired. A scope that ends in ' +
    '":*" grants everything below it.',
  period: false,
  streams: [],
  columns: columns(`scope: Scope
${KEY_COLUMNS}
state: State
createdAt: Issued
expiresAt: Expires`),
  begin(question) {
    const { at } = question;
    const holders = new HoldersByScope(MOST_LINES);
    const line = linesOf(question, (key) => {
      const { createdAt, expiresAt, scopes } = key.state;
      if (!isHeld(key, at) || !scopes.some((scope) => holders.covers(scope))) return undefined;
      return keyRow(key, { state: stateAt(key.state, at), createdAt, expiresAt });
    });
    return {
      key: (key) => line(key).flatMap((row) => key.state.scopes.flatMap((scope) => holders.take(scope, row))),
      rest: () => holders.rest(),
      isUnfinished: () => holders.next(),
    };
  },
};

/**
 * Lines by scope, in the order of scopes, from passes over the keys. A pass gives the lines of one scope as they come,
 * however many there are, and holds those of as many of the next as fit; the first that does not fit is given by the
 * next pass.
 */
export class HoldersByScope {
  private readonly byScope = new Map<string, ReportRow[]>();
  private count = 0;
  /** Given as its lines come; before it everything is done. */
  private current: string | undefined;
  /** The first that does not fit. */
  private before: string | undefined;

  constructor(private readonly mostHeld: number) {}

  /** Whether this pass is about the scope. */
  covers(scope: string): boolean {
    return (this.current === undefined || scope >= this.current) && (this.before === undefined || scope < this.before);
  }

  /** @returns what may be given at once */
  take(scope: string, row: ReportRow): ReportRow[] {
    if (!this.covers(scope)) return [];
    if (scope === this.current) return [{ scope, ...row }];
    const known = this.byScope.get(scope);
    if (known) known.push(row);
    else this.byScope.set(scope, [row]);
    this.count += 1;
    if (this.count > this.mostHeld) this.shrink();
    return [];
  }

  /** At the end of a pass: what was held. */
  *rest(): Generator<ReportRow> {
    for (const scope of [...this.byScope.keys()].sort()) {
      for (const row of this.byScope.get(scope) ?? []) yield { scope, ...row };
    }
  }

  /** Goes on to the scopes that did not fit; false: there are none. */
  next(): boolean {
    if (this.before === undefined) return false;
    this.byScope.clear();
    this.count = 0;
    [this.current, this.before] = [this.before, undefined];
    return true;
  }

  get held(): number {
    return this.count;
  }

  /** Drops the last scopes, so that half is free again. */
  private shrink(): void {
    const scopes = [...this.byScope.keys()].sort();
    while (this.count > this.mostHeld / 2) {
      const last = scopes.pop() ?? '';
      this.count -= this.byScope.get(last)?.length ?? 0;
      this.byScope.delete(last);
      this.before = last;
    }
  }
}
