import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ImportResults, RevokeResults } from '@keyledger/contracts/http';
import { EXIT, Unreachable, UsageError, type ExitCode } from '../exit.js';
import { checkedId } from '../id.js';
import { messageOf, printable, type Terminal } from '../print.js';
import type { ChangeOptions, Session } from '../session.js';

/** What the API takes in one request. */
const BATCH = 1000;

/**
 * Imports every item of a file, a thousand in a request. Each request has its own Idempotency-Key made from one, so that
 * a run that broke off, repeated with that key, goes over what is done already without doing it again.
 */
export async function importKeys(
  session: Session,
  file: string,
  keyspaceId: string,
  options: ChangeOptions,
): Promise<ExitCode> {
  const items = itemsOf(await textOf(file, session.terminal), file);
  const idempotencyKey = options.idempotencyKey ?? randomUUID();
  const all: ImportResults = { results: [], effective: true };
  for (let from = 0; from < items.length; from += BATCH) {
    const body = { keyspaceId, keys: items.slice(from, from + BATCH) };
    const repeatable = { ...options, idempotencyKey: `${idempotencyKey}-${from}` };
    const part = await named(idempotencyKey, from > 0, () =>
      session.change<ImportResults>('POST', '/v1/keys/import', body, repeatable),
    );
    all.results.push(...part.results.map((result) => ({ ...result, index: from + result.index })));
    all.effective &&= part.effective;
  }
  const rejected = all.results.filter(({ status }) => status === 'rejected');
  session.show(all, () => {
    const lines = rejected.map(({ index, error }) => `item ${index + 1}: ${reasonOf(error)}\n`);
    return `${lines.join('')}${all.results.length - rejected.length} imported, ${rejected.length} rejected\n`;
  });
  return rejected.length === 0 ? EXIT.ok : EXIT.refused;
}

export interface RevokeManyOptions extends ChangeOptions {
  keyspace?: string;
  owner?: string;
  comment?: string;
  yes?: boolean;
}

/** Revokes the named keys, or every key of a keyspace or owner, however many requests that takes. */
export async function revokeKeys(
  session: Session,
  keyIds: readonly string[],
  options: RevokeManyOptions,
): Promise<ExitCode> {
  const { keyspace, owner, reason, comment } = options;
  const byFilter = keyspace !== undefined || owner !== undefined;
  if (byFilter === keyIds.length > 0) throw new UsageError('Name either key ids, or --keyspace, --owner or both');
  if (byFilter && !options.yes) throw new UsageError('This ends every such key for good: add --yes to mean it');
  for (const keyId of keyIds) checkedId(keyId, 'keyIds');
  const idempotencyKey = options.idempotencyKey ?? randomUUID();
  const all: RevokeResults = { results: [], effective: true };
  let requests = 0;
  const send = async (part: object): Promise<string | undefined> => {
    // By its place: a page on which everything is revoked already has no result, and the next one is another request.
    const repeatable = { ...options, idempotencyKey: `${idempotencyKey}-${requests++}` };
    const answer = await named(idempotencyKey, requests > 1, () =>
      session.change<RevokeResults>('POST', '/v1/keys/revoke', { ...part, reason, comment }, repeatable),
    );
    all.results.push(...answer.results);
    all.effective &&= answer.effective;
    return answer.nextCursor;
  };
  if (byFilter) {
    let cursor: string | undefined;
    do cursor = await send({ keyspaceId: keyspace, ownerId: owner, cursor });
    while (cursor !== undefined);
  } else {
    for (let from = 0; from < keyIds.length; from += BATCH) await send({ keyIds: keyIds.slice(from, from + BATCH) });
  }
  const rejected = all.results.filter(({ status }) => status === 'rejected');
  session.show(all, () => {
    const lines = rejected.map(({ keyId, error }) => `${keyId}: ${reasonOf(error)}\n`);
    return `${lines.join('')}${all.results.length - rejected.length} revoked, ${rejected.length} not\n`;
  });
  return rejected.length === 0 ? EXIT.ok : EXIT.refused;
}

/** A run of many requests that breaks off is repeated whole, under the key of the run and not of one request. */
async function named<T>(idempotencyKey: string, isPartDone: boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Unreachable) {
      Object.assign(error, { idempotencyKey, mayBeDone: error.mayBeDone || isPartDone });
    }
    throw error;
  }
}

function reasonOf(error: ImportResults['results'][number]['error']): string {
  if (!error) return 'rejected';
  const fields = (error.errors ?? []).map(({ field, message, fix }) => `${field} ${message}${fix ? `: ${fix}` : ''}`);
  return printable([`${error.code}, ${error.detail}`, ...fields].join('; '));
}

async function textOf(file: string, { stdin }: Terminal): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: unknown) => {
      throw new UsageError(`${file} cannot be read: ${messageOf(error)}`);
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

/** The items of a JSON list, of `{"keys": [...]}`, or one a line. */
function itemsOf(text: string, file: string): object[] {
  const items = listIn(parsed(text), file) ?? linesOf(text, file);
  if (items.length > 0) return items;
  throw new UsageError(`${file} holds no keys to import: write a JSON list of them, or one a line`);
}

function listIn(whole: unknown, file: string): object[] | undefined {
  const list = isObject(whole) && 'keys' in whole ? whole.keys : whole;
  if (Array.isArray(list)) {
    const wrong = list.findIndex((item) => !isObject(item));
    if (wrong < 0) return list as object[];
    throw new UsageError(`${file}, item ${wrong + 1} is not a JSON object, as each key of a list is`);
  }
  if (list !== whole) throw new UsageError(`${file}: "keys" is no list: write {"keys": [{…}, …]}`);
  return undefined;
}

function linesOf(text: string, file: string): object[] {
  const lines = text.split('\n').map((line, index) => ({ line: line.trim(), number: index + 1 }));
  return lines
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => {
      const item = parsed(line);
      if (isObject(item)) return item;
      throw new UsageError(`${file}, line ${number} is not a JSON object: write a JSON list, or one object a line`);
    });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
