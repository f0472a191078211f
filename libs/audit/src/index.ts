/**
 * Proof of history. Every event of ours, exactly as it is stored, is a leaf of a Merkle tree (RFC 6962 and RFC 9162
 * hashing, SHA-256): the canonical JSON (RFC 8785) of `{index, id, stream, revision, type, recordedAt, position, data,
 * metadata}`, `index` being its gapless place among all events of `AUDITED_STREAM_PREFIXES` in log order. A checkpoint
 * (C2SP tlog-checkpoint in a C2SP signed note, Ed25519) states origin, size and root; keys are the texts of Go's
 * sumdb/note: `name+id+base64(0x01 || public key)`, and for signing `PRIVATE+KEY+name+id+base64(0x01 || seed)`. A
 * receipt (C2SP tlog-proof) proves one leaf, a bundle (a folder) a range of them, both to somebody who has nothing but
 * a public key. The tree's hashes are files in the layout of C2SP tlog-tiles (`FileTiles`), derived from the events and
 * never asked for by whoever checks.
 *
 * And replay: the same events as rows of a trail, as CSV, as OCSF for a SIEM; keys as they were at any moment, by the
 * domain's own `evolve` and `judge`; what decided a verdict of the past. `History` answers for all keys at bounded
 * memory. `REPORTS` are what an auditor asks for: folds up to an instant, as JSON, CSV or a page.
 *
 * Nothing here knows Nest, Redis, HTTP or the clock.
 */
export {
  leafHash,
  proveConsistency,
  proveInclusion,
  rootAt,
  verifyConsistency,
  verifyInclusion,
  type Hash,
  type HashStore,
  type NodeId,
} from './merkle.js';
export { Frontier } from './frontier.js';
export { TileTree } from './tile-nodes.js';
export { FileTiles, TreeDamaged } from './file-tiles.js';
export { eventBytes, hashOfEvent, Malformed, parseLeaf, storedOf, type Leaf } from './envelope.js';
export {
  formatVerifierKey,
  generateSignerKey,
  parseSignerKey,
  parseVerifierKey,
  signNote,
  unverifiedText,
  type SignerKey,
  type VerifierKey,
} from './note.js';
export { formatCheckpoint, openCheckpoint, parseHash, signCheckpoint, type Checkpoint } from './checkpoint.js';
export { formatReceipt, verifyReceipt, type ReceiptVerdict } from './receipt.js';
export { linesFrom } from './bundle-files.js';
export { writeBundle, type BundleSource } from './bundle-writer.js';
export { verifyBundle, type BundleReport } from './bundle-verifier.js';
export { Subjects } from './subjects.js';
export { trailRow, type TrailFilter } from './trail.js';
export { TrailReader, type TrailFind, type TrailQuery } from './trail-reader.js';
export { csvHeader, csvRow, TRAIL_COLUMNS, type CsvColumn } from './csv.js';
export { cloudEventOf } from './ocsf.js';
export { advanceKey, explain, keyAt, type Cut, type KeyAt } from './replay.js';
export { History } from './history.js';
export { type FoundKey } from './merge.js';
export { plainJson } from './snapshot-file.js';
export {
  PAGE_POLICY,
  renderReport,
  REPORTS,
  runReport,
  type Report,
  type ReportFormat,
  type ReportHead,
  type ReportSource,
} from './reports/index.js';
export { CheckpointLog, type RecordedCheckpoint } from './checkpoint-log.js';
export { objectionTo, type Objection } from './succession.js';
export { parseKeyring, type Keyring } from './keyring.js';
export { LATEST_FILE, publishedFile, readPublished } from './published.js';
export { TreeFollower } from './tree-follower.js';
export { checkLog, type LogFinding, type LogReport } from './log-check.js';
