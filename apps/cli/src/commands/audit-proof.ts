import { resolve } from 'node:path';
import { formatVerifierKey, generateSignerKey, Malformed, parseSignerKey, verifyBundle } from '@keyledger/audit';
import type { AuditKeyList, CheckpointView, ConsistencyView, InclusionView } from '@keyledger/contracts/http';
import { isFolder } from '@keyledger/platform/folders';
import type { Command } from 'commander';
import { EXIT, UsageError, type ExitCode } from '../exit.js';
import { examples, list, wholeNumber } from '../options.js';
import { OutFile } from '../out-file.js';
import { fields } from '../print.js';
import { table } from '../table.js';
import type { RunWith } from '../run.js';
import { SecretFile } from '../secret-file.js';
import type { Session } from '../session.js';
import { exportBundle, type ExportOptions } from './audit-export.js';
import type { FsckOptions } from './audit-fsck.js';
import { checkReceipt, type VerifyReceiptOptions } from './audit-receipt.js';
import { bundleText } from './audit-text.js';

const COUNT = wholeNumber(0, Number.MAX_SAFE_INTEGER);

/** Proof of history: checkpoints, receipts, bundles, and their check. */
export function addProofCommands(audit: Command, runWith: RunWith): void {
  verify(audit, runWith);
  verifyReceipt(audit, runWith);
  fsck(audit, runWith);
  newKey(audit, runWith);
  exportCommand(audit, runWith);
  checkpointAndKeys(audit, runWith);
  receiptCommand(audit, runWith);
  consistency(audit, runWith);
}

// The first four need no api.

function verify(audit: Command, runWith: RunWith): void {
  examples(audit.command('verify').argument('<bundle>', 'a folder that `audit export` made'), 'audit verify ./2026')
    .description('check a bundle: no server, no network, nothing but the folder and a public key')
    .option('--trusted-key <key>', 'public key of the log, name+id+base64, from elsewhere; may be repeated', list)
    .action(
      runWith(async (session, [bundle], { trustedKey }: { trustedKey?: string[] }): Promise<ExitCode> => {
        // What is missing in a bundle its check says; what is no folder at all is no bundle.
        if (!isFolder(bundle)) throw new UsageError(`there is no folder "${bundle}": name one that audit export made`);
        const report = await orUsage(verifyBundle(bundle, trustedKey ? { trustedKeys: trustedKey } : {}));
        session.show(report, () => bundleText(report));
        return report.ok ? EXIT.ok : EXIT.mismatch;
      }),
    );
}

function verifyReceipt(audit: Command, runWith: RunWith): void {
  examples(
    audit.command('verify-receipt').argument('<file>', 'a receipt that `audit receipt` or anybody else wrote'),
    'audit verify-receipt event.tlog-proof --leaf event.json --trusted-keys keys.txt',
  )
    .description('check a receipt: no server, no network, nothing but receipt, event and a public key')
    .requiredOption('--leaf <file>', 'the event: its canonical JSON, as `audit receipt --leaf` or a line of a bundle')
    .option('--trusted-key <key>', 'public key of the log, name+id+base64, from elsewhere; may be repeated', list)
    .option('--trusted-keys <file>', 'or a file with public keys, one a line')
    .action(
      runWith((session, [file], options: VerifyReceiptOptions): Promise<ExitCode> => {
        return checkReceipt(session, file, options);
      }),
    );
}

function fsck(audit: Command, runWith: RunWith): void {
  examples(audit.command('fsck'), 'audit fsck --checkpoints /mnt/witness', 'audit fsck --trusted-key "$VKEY" --json')
    .description('check a live event store (EVENTSTORE_URL): recompute the log, compare it with every checkpoint')
    .option('--store <url>', 'connection string of the event store (default: EVENTSTORE_URL)')
    .option(
      '--checkpoints <folder>',
      'where checkpoints were published; may be repeated (default: KEYLEDGER_AUDIT_PUBLISH)',
      list,
    )
    .option('--trusted-key <key>', 'public key of the log from elsewhere; may be repeated', list)
    .option('--tree <folder>', 'hashes kept by a worker, to name the very event (default: in KEYLEDGER_DATA_DIR)')
    .action(
      runWith(async (session, _: [], options: FsckOptions) => {
        // The event store's client library takes a while to load, and no other command needs it.
        const { checkStore } = await import('./audit-fsck.js');
        return checkStore(session, options);
      }),
    );
}

function newKey(audit: Command, runWith: RunWith): void {
  examples(
    audit.command('new-key').argument('<name>', 'the log’s origin, e.g. keys.example.com/audit'),
    'audit new-key keys.example.com/audit --secret-file signing.key',
  )
    .description('make a key that signs checkpoints, for KEYLEDGER_SIGNING_KEY; shows its public key')
    .requiredOption('--secret-file <file>', 'write the signing key to this new file, readable by you only')
    .action(
      runWith(async (session, [name], { secretFile }: { secretFile: string }) => {
        const key = await orUsage(Promise.resolve().then(() => generateSignerKey(name)));
        const file = await SecretFile.reserve(secretFile);
        await file.write(key);
        const publicKey = formatVerifierKey(parseSignerKey(key));
        session.show({ publicKey }, () => `${publicKey}\n`);
      }),
    );
}

function exportCommand(audit: Command, runWith: RunWith): void {
  examples(audit.command('export'), 'audit export --from 2026-01-01T00:00:00Z --to 2027-01-01T00:00:00Z --out ./2026')
    .description('write the events of a range with their proof into a new folder: a bundle that anybody can check')
    .option('--from <point>', 'the first event: an index, an instant, or position:4711 (default: the log’s first)')
    .option('--to <point>', 'behind the last event, written the same way (default: the newest checkpoint’s end)')
    .requiredOption('--out <folder>', 'a folder that is not there yet')
    .action(runWith((session, _: [], options: ExportOptions) => exportBundle(session, options)));
}

function checkpointAndKeys(audit: Command, runWith: RunWith): void {
  examples(audit.command('checkpoint'), 'audit checkpoint', 'audit checkpoint --out checkpoint.txt')
    .description('the newest signed checkpoint: keep it, and any later change of the log below it is found')
    .option('--out <file>', 'write the note to this file')
    .action(
      runWith(async (session, _: [], { out }: { out?: string }) => {
        const file = await newFile(out);
        const checkpoint = await session.call<CheckpointView>({ method: 'GET', path: '/v1/audit/checkpoint' });
        await file?.write(checkpoint.note);
        session.show(checkpoint, () => checkpoint.note);
      }),
    );

  audit
    .command('keys')
    .description('the public keys that sign and have signed checkpoints')
    .action(
      runWith(async (session, _: []) => {
        const keys = await session.call<AuditKeyList>({ method: 'GET', path: '/v1/audit/keys' });
        session.show(keys, () => keys.items.map(({ key }) => `${key}\n`).join(''));
      }),
    );
}

function receiptCommand(audit: Command, runWith: RunWith): void {
  examples(
    audit.command('receipt').argument('[eventId]', 'id of the event'),
    'audit receipt 6f1d6b9e-4d0c-4f5e-9a53-0d8c1f6b7a21 --out event.tlog-proof --leaf event.json',
  )
    .description('the proof that an event is in the log, in the form of C2SP tlog-proof')
    .option('--index <index>', 'its place in the log instead of its id', COUNT)
    .option('--position <position>', 'its position in the event store instead of its id')
    .option('--out <file>', 'write the receipt to this file')
    .option('--leaf <file>', 'write what is proved, the event’s canonical JSON, to this file')
    .action(runWith((session, [eventId], options: ReceiptOptions) => receipt(session, eventId, options)));
}

function consistency(audit: Command, runWith: RunWith): void {
  examples(
    audit
      .command('consistency')
      .argument('<first>', 'leaves of the smaller tree')
      .argument('[second]', 'of the larger one (default: the newest checkpoint’s)'),
    'audit consistency 1200',
  )
    .description('the proof that a larger tree begins with all of a smaller one')
    .action(
      runWith(async (session, [first, second]: string[]) => {
        const query = { first, second };
        const proof = await session.call<ConsistencyView>({
          method: 'GET',
          path: '/v1/audit/proof/consistency',
          query,
        });
        session.show(proof, () => consistencyText(session, proof));
      }),
    );
}

interface ReceiptOptions {
  index?: number;
  position?: string;
  out?: string;
  leaf?: string;
}

async function receipt(session: Session, eventId: string | undefined, options: ReceiptOptions): Promise<void> {
  const { index, position, out, leaf } = options;
  if (out !== undefined && leaf !== undefined && resolve(out) === resolve(leaf)) {
    throw new UsageError('--out and --leaf name the same file');
  }
  const [receiptFile, leafFile] = [await newFile(out), await newFile(leaf)];
  const path = '/v1/audit/proof/inclusion';
  const proof = await session.call<InclusionView>({ method: 'GET', path, query: { eventId, index, position } });
  const { size } = proof;
  // The text names the same event; should a newer checkpoint have come in between, it proves it just as well.
  const text = await (
    await session.open({ path, query: { index: proof.index }, headers: { accept: 'text/plain' } })
  ).text();
  await receiptFile?.write(text);
  await leafFile?.write(proof.leaf);
  session.show(proof, () => text);
  session.note(`event ${proof.event.id} (${proof.event.type}) is event ${proof.index} of ${size}`);
}

function consistencyText(
  session: Session,
  { first, second, firstRootHash, secondRootHash, hashes }: ConsistencyView,
): string {
  const sizes = fields([
    ['first', `${first} leaves, root ${firstRootHash}`],
    ['second', `${second} leaves, root ${secondRootHash}`],
  ]);
  return (
    sizes +
    (hashes.length === 0 ? '' : table(hashes, [{ head: 'proof', of: (hash) => hash, whole: true }], session.terminal))
  );
}

/** What proves something is not written over. */
async function newFile(path: string | undefined): Promise<OutFile | undefined> {
  return path === undefined ? undefined : OutFile.at(path, { overwrite: false });
}

/** What is no key is the command line's fault. */
async function orUsage<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Malformed) throw new UsageError(error.message);
    throw error;
  }
}
