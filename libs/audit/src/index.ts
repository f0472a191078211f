/**
 * Proof of history. Every event of ours, exactly as it is stored, is a leaf of a Merkle tree (RFC 6962 and RFC 9162
 * hashing, SHA-256): the canonical JSON (RFC 8785) of `{index, id, stream, revision, type, recordedAt, position, data,
 * metadata}`, `index` being its gapless place among all events of `AUDITED_STREAM_PREFIXES` in log order. A checkpoint
 * (C2SP tlog-checkpoint in a C2SP signed note, Ed25519) states origin, size and root; keys are the texts of Go's
 * sumdb/note: `name+id+base64(0x01 || public key)`, and for signing `PRIVATE+KEY+name+id+base64(0x01 || seed)`. A
 * receipt (C2SP tlog-proof) proves one leaf, a bundle (a folder) a range of them, both to somebody who has nothing but
 * a public key. The tree's hashes are files in the layout of C2SP tlog-tiles (`FileTiles`), derived from the events and
 * never asked for by whoever checks. Nothing here knows Nest, Redis, HTTP or the clock.
 */
export { canonicalJson, NotJson, type Json } from './canonical.js';
export {
  EMPTY_ROOT,
  leafHash,
  nodeHash,
  proveConsistency,
  proveInclusion,
  rootAt,
  verifyConsistency,
  verifyInclusion,
  type Hash,
  type HashStore,
  type NodeId,
} from './merkle.js';
export { Frontier, type OnNode } from './frontier.js';
export { FileTiles, TILE_WIDTH, TreeDamaged, type NewLeaf, type TreeHead } from './file-tiles.js';
export { eventBytes, hashOfEvent, leafBytes, leafOf, Malformed, parseLeaf, type Leaf } from './envelope.js';
export {
  formatVerifierKey,
  generateSignerKey,
  NoteRefused,
  openNote,
  parseSignerKey,
  parseVerifierKey,
  signNote,
  unverifiedText,
  type OpenedNote,
  type SignerKey,
  type VerifierKey,
} from './note.js';
export {
  contradictions,
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
  type Checkpoint,
  type Contradiction,
  type Head,
  type SignedCheckpoint,
} from './checkpoint.js';
export {
  formatReceipt,
  makeReceipt,
  parseReceipt,
  verifyReceipt,
  type Receipt,
  type ReceiptVerdict,
} from './receipt.js';
export { BUNDLE_FILES, BUNDLE_FORMAT, type Manifest } from './bundle.js';
export { writeBundle, type BundleSource, type WrittenBundle } from './bundle-writer.js';
export { verifyBundle, type BundleFinding, type BundleReport, type VerifyBundleOptions } from './bundle-verifier.js';
export { type EventIdentity, type Misfit } from './bundle-range.js';
