import { openCheckpoint, parseCount, parseHash, type SignedCheckpoint } from './checkpoint.js';
import { Malformed } from './envelope.js';
import { leafHash, verifyInclusion, type Hash } from './merkle.js';
import { NoteRefused, type VerifierKey } from './note.js';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** More than any tree of 2^53 leaves has. */
const MAX_HASHES = 64;

/** C2SP tlog-proof: https://c2sp.org/tlog-proof. That one leaf is in the tree of a signed checkpoint. */
export interface Receipt {
  index: number;
  /** The leaf's sibling first. */
  hashes: Hash[];
  /** The signed note, as it is. */
  checkpoint: string;
  /** What else the writer wanted to say. Nobody vouches for it. */
  extra?: Buffer;
}

/** As a text file, `.tlog-proof` by convention. */
export function formatReceipt({ index, hashes, checkpoint, extra }: Receipt): string {
  const lines = [
    FIRST_LINE,
    ...(extra ? [`extra ${extra.toString('base64')}`] : []),
    `index ${index}`,
    ...hashes.map((hash) => hash.toString('base64')),
  ];
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** @throws Malformed */
export function parseReceipt(text: string): Receipt {
  const end = text.indexOf('\n\n');
  if (end < 0) throw new Malformed('a receipt is a proof, an empty line and a checkpoint');
  const [first, ...lines] = text.slice(0, end).split('\n');
  if (first !== FIRST_LINE) throw new Malformed(`a receipt begins with ${FIRST_LINE}`);
  const extra = lines[0]?.startsWith('extra ') ? parseExtra(lines.shift() ?? '') : undefined;
  const [, decimal = ''] = /^index (.*)$/.exec(lines.shift() ?? '') ?? [];
  const index = parseCount(decimal, 'the index');
  if (lines.length > MAX_HASHES) throw new Malformed(`a receipt has at most ${MAX_HASHES} hashes`);
  return { index, hashes: lines.map(parseHash), checkpoint: text.slice(end + 2), ...(extra && { extra }) };
}

function parseExtra(line: string): Buffer {
  const encoded = line.slice('extra '.length);
  const extra = Buffer.from(encoded, 'base64');
  if (encoded === '' || extra.toString('base64') !== encoded) throw new Malformed('extra is no base64');
  return extra;
}

export type ReceiptVerdict =
  | { valid: true; index: number; checkpoint: SignedCheckpoint }
  | { valid: false; code: 'MALFORMED' | 'BAD_SIGNATURE' | 'UNKNOWN_KEY' | 'NOT_INCLUDED'; message: string };

/**
 * Whether the receipt proves that a log, vouched for by one of the trusted keys, holds exactly these bytes as a leaf.
 * @param leaf canonical JSON of the leaf, as `eventBytes` makes it
 */
export function verifyReceipt(text: string, leaf: Uint8Array, trusted: readonly VerifierKey[]): ReceiptVerdict {
  try {
    const { index, hashes, checkpoint: note } = parseReceipt(text);
    const checkpoint = openCheckpoint(note, trusted);
    if (verifyInclusion(index, checkpoint.size, leafHash(leaf), hashes, checkpoint.root)) {
      return { valid: true, index, checkpoint };
    }
    const message = `these bytes are not leaf ${index} of the signed tree of ${checkpoint.size} leaves`;
    return { valid: false, code: 'NOT_INCLUDED', message };
  } catch (error) {
    if (error instanceof NoteRefused) return { valid: false, code: error.code, message: error.message };
    if (error instanceof Malformed) return { valid: false, code: 'MALFORMED', message: error.message };
    throw error;
  }
}
