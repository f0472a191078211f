import { readFile } from 'node:fs/promises';
import {
  formatVerifierKey,
  Malformed,
  parseLeaf,
  parseVerifierKey,
  verifyReceipt,
  type Leaf,
  type ReceiptVerdict,
  type VerifierKey,
} from '@keyledger/audit';
import { EXIT, UsageError, type ExitCode } from '../exit.js';
import { fields } from '../print.js';
import type { Session } from '../session.js';

export interface VerifyReceiptOptions {
  leaf: string;
  trustedKey?: string[];
  trustedKeys?: string;
}

/** What a receipt says of an event, to somebody who has nothing but both and a key. */
type Checked = { ok: true; leaf: Leaf; proof: Extract<ReceiptVerdict, { valid: true }> } | Misfit;
type Misfit = { ok: false; code: string; message: string };

/** Checks a receipt offline. */
export async function checkReceipt(session: Session, file: string, options: VerifyReceiptOptions): Promise<ExitCode> {
  const trusted = await keysOf(options);
  const receipt = (await contentOf(file)).toString('utf8');
  const checked = check(receipt, withoutNewline(await contentOf(options.leaf)), trusted);
  session.show(checked.ok ? shown(checked) : checked, () => textOf(checked));
  return checked.ok ? EXIT.ok : EXIT.mismatch;
}

function check(receipt: string, bytes: Buffer, trusted: readonly VerifierKey[]): Checked {
  const proof = verifyReceipt(receipt, bytes, trusted);
  const leaf = leafIn(bytes);
  if (!proof.valid) {
    const why = proof.code === 'NOT_INCLUDED' && leaf instanceof Malformed ? `; ${leaf.message}` : '';
    return { ok: false, code: proof.code, message: proof.message + why };
  }
  if (leaf instanceof Malformed) return { ok: false, code: 'EVENT_FAULTY', message: `the event: ${leaf.message}` };
  if (leaf.index !== proof.index) {
    const message = `the event calls itself event ${leaf.index} and was signed as event ${proof.index}`;
    return { ok: false, code: 'EVENT_OUT_OF_PLACE', message };
  }
  return { ok: true, leaf, proof };
}

function leafIn(bytes: Buffer): Leaf | Malformed {
  try {
    return parseLeaf(bytes);
  } catch (error) {
    if (error instanceof Malformed) return error;
    throw error;
  }
}

function shown({ leaf, proof }: Extract<Checked, { ok: true }>): object {
  const { origin, size, root, signedBy } = proof.checkpoint;
  const { index, id, stream, revision, type, recordedAt, position } = leaf;
  const checkpoint = { origin, size, rootHash: root.toString('base64'), signedBy: signedBy.map(formatVerifierKey) };
  return { ok: true, event: { index, id, stream, revision, type, recordedAt, position }, checkpoint };
}

function textOf(checked: Checked): string {
  if (!checked.ok) {
    return fields([
      ['verdict', 'IT DOES NOT FIT'],
      [checked.code, checked.message],
    ]);
  }
  const { leaf, proof } = checked;
  const { origin, size, signedBy } = proof.checkpoint;
  return fields([
    ['verdict', 'everything fits'],
    ['log', origin],
    ['event', `index ${leaf.index}, ${leaf.id}, ${leaf.type}, ${leaf.stream} revision ${leaf.revision}`],
    ['recorded', leaf.recordedAt],
    ['proved by', `the checkpoint of ${size} leaves`],
    ['keys', signedBy.map(formatVerifierKey).join(', ')],
  ]);
}

/** @throws UsageError for what is no key, and for no key at all: a receipt vouches for itself in nothing */
async function keysOf({ trustedKey = [], trustedKeys }: VerifyReceiptOptions): Promise<VerifierKey[]> {
  const lines = trustedKeys === undefined ? [] : (await contentOf(trustedKeys)).toString('utf8').split('\n');
  const texts = [...trustedKey, ...lines.map((line) => line.trim())].filter((text) => text !== '');
  if (texts.length === 0) throw new UsageError('Which public key? Give --trusted-key or --trusted-keys');
  try {
    return texts.map(parseVerifierKey);
  } catch (error) {
    if (error instanceof Malformed) throw new UsageError(`--trusted-key: ${error.message}`);
    throw error;
  }
}

async function contentOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** A line of a bundle, or of an editor, ends with one that is no part of the event. */
function withoutNewline(bytes: Buffer): Buffer {
  return bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
}
