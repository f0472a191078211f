import { existsSync, rmdirSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  linesFrom,
  parseLeaf,
  parseVerifierKey,
  storedOf,
  TileTree,
  writeBundle,
  type BundleSource,
} from '@keyledger/audit';
import { instantOf } from '@keyledger/contracts';
import type { AuditKeyList, CheckpointList, CheckpointView, ExportRangeView } from '@keyledger/contracts/http';
import { makeFolder } from '@keyledger/platform/folders';
import { Refused, Unreachable, UsageError } from '../exit.js';
import { fields } from '../print.js';
import type { Session } from '../session.js';

export interface ExportOptions {
  from?: string;
  to?: string;
  out: string;
}

const EVENTS_AT_ONCE = 500;
const PAGE = 1000;
/** More say nothing that these do not; a year has half a million. */
const CHECKPOINTS_KEPT = 256;

/** Puts a bundle together out of what the api gives: events as a stream, hashes as tiles, checkpoints. */
export async function exportBundle(session: Session, { from, to, out }: ExportOptions): Promise<void> {
  const folder = resolve(out);
  if (existsSync(folder)) throw new UsageError(`--out: ${folder} is there already; name a new folder`);
  refuseUnusable(folder);
  const range = await session.call<ExportRangeView>({
    method: 'GET',
    path: '/v1/audit/export/range',
    query: { from, to },
  });
  const keys = await session.call<AuditKeyList>({ method: 'GET', path: '/v1/audit/keys' });
  const { misfits } = await writeBundle(folder, {
    from: range.from,
    to: range.to,
    events: eventsOf(session, range),
    tree: new TileTree((level, index) => tileOf(session, level, index)),
    checkpoints: await checkpointsOf(session, range),
    keys: keys.items.map(({ key }) => parseVerifierKey(key)),
    now: instantOf(Date.now()),
  });
  const told = { folder, from: range.from, to: range.to, events: range.to - range.from, misfits };
  session.show(told, () =>
    fields([
      ['bundle', folder],
      ['events', `${told.from} to ${told.to - 1}`],
      ['check it', `keyledger audit verify ${out} --trusted-key ${keys.items[0]?.key ?? '<key>'}`],
    ]),
  );
  if (misfits > 0) session.note(`${misfits} events are not as they were recorded: the check names the first of them`);
}

/** Nothing says as surely whether a folder can be made as making it. @throws UsageError */
function refuseUnusable(folder: string): void {
  try {
    // As it is called until everything is in it.
    const partial = `${folder}.partial`;
    if (existsSync(partial)) return;
    makeFolder(partial);
    rmdirSync(partial);
  } catch (error) {
    throw new UsageError(`--out: ${folder} cannot be made: ${(error as Error).message}`);
  }
}

async function* eventsOf(session: Session, { from, to }: ExportRangeView): BundleSource['events'] {
  const { body } = await session.open({ path: '/v1/audit/export', query: { from, to } });
  if (!body) throw new Unreachable('The api sent no events');
  let batch: ReturnType<typeof storedOf>[] = [];
  try {
    for await (const line of linesFrom(body)) {
      batch.push(storedOf(parseLeaf(line)));
      if (batch.length < EVENTS_AT_ONCE) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    throw new Unreachable(`The events broke off: ${(error as Error).message}`);
  }
  if (batch.length > 0) yield batch;
}

async function tileOf(session: Session, level: number, index: number): Promise<Buffer> {
  try {
    return Buffer.from(await (await session.open({ path: `/v1/audit/tile/${level}/${index}` })).arrayBuffer());
  } catch (error) {
    if (error instanceof Refused && error.problem.status === 404) return Buffer.alloc(0);
    throw error;
  }
}

/** The newest, the oldest that covers the range, and others within it, thinned out evenly. */
async function checkpointsOf(session: Session, { from, to }: ExportRangeView): Promise<BundleSource['checkpoints']> {
  let kept: CheckpointView[] = [];
  let newest: CheckpointView | undefined;
  let covering: CheckpointView | undefined;
  let every = 1;
  let seen = 0;
  for (let cursor: string | undefined, done = false; !done;) {
    const page = await session.call<CheckpointList>({
      method: 'GET',
      path: '/v1/audit/checkpoints',
      query: { limit: PAGE, cursor },
    });
    for (const one of page.items) {
      newest ??= one;
      if (one.size >= to) covering = one;
      if (one.size > from && one.size < to && seen++ % every === 0) kept.push(one);
      if (kept.length >= 2 * CHECKPOINTS_KEPT) {
        kept = kept.filter((_, index) => index % 2 === 0);
        every *= 2;
      }
      done ||= one.size <= from;
    }
    cursor = page.nextCursor;
    done ||= cursor === undefined;
  }
  const all = [newest, covering, ...kept].filter((one) => one !== undefined);
  const bySize = new Map(all.map((one) => [one.size, one]));
  return [...bySize.values()].sort((a, b) => a.size - b.size).map(({ note, signedAt }) => ({ note, at: signedAt }));
}
