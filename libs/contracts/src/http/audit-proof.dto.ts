import { IsInt, Max, Min } from 'class-validator';
import { Digits, Line, Optional } from './fields.js';

const count = { message: 'is no number of leaves', context: { fix: 'a whole number from 0 on' } };
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

/** Exactly one of them says which event. */
export class InclusionQuery {
  /**
   * Id of the event.
   * @example '6f1d6b9e-4d0c-4f5e-9a53-0d8c1f6b7a21'
   */
  @Optional()
  @Line(100)
  eventId?: string;

  /**
   * Where it stands in the event store's log.
   * @example '4711'
   */
  @Optional()
  @Line(20)
  position?: string;

  /** Its place among all events of the audit log, from 0. */
  @Optional()
  @Digits()
  @IsInt(count)
  @Min(0, count)
  @Max(MAX_COUNT, count)
  index?: number;
}

export class ConsistencyQuery {
  /** Leaves of the smaller tree. */
  @Digits()
  @IsInt(count)
  @Min(1, count)
  @Max(MAX_COUNT, count)
  first: number;

  /** Leaves of the larger one; the newest checkpoint's if left out. */
  @Optional()
  @Digits()
  @IsInt(count)
  @Min(1, count)
  @Max(MAX_COUNT, count)
  second?: number;
}

export class RangeQuery {
  /**
   * The first event: an index, an instant, or `position:` and a position; the log's first if left out.
   * @example '2026-01-01T00:00:00Z'
   */
  @Optional()
  @Line(64)
  from?: string;

  /**
   * Behind the last event, written the same way: what was recorded before that instant. The newest checkpoint's end if
   * left out, and nothing beyond it.
   */
  @Optional()
  @Line(64)
  to?: string;
}

export class CheckpointView {
  /** Names the log. */
  origin: string;
  /** Leaves of the tree. */
  size: number;
  /** Base64 of its root. */
  rootHash: string;
  /** C2SP tlog-checkpoint: what was signed, with the signature. The rest only repeats or dates it. */
  note: string;
  signedAt: string;
  /** Of the newest leaf, in the event store's log. */
  position: string;
  /** Of the checkpoint's own event in its stream. */
  revision: number;
}

export class CheckpointList {
  items: CheckpointView[];
  nextCursor?: string;
}

export class ProvedEventView {
  id: string;
  stream: string;
  revision: number;
  type: string;
  recordedAt: string;
  position: string;
}

export class InclusionView {
  /** Place of the event among all leaves, from 0. */
  index: number;
  /** Leaves of the tree that it is in. */
  size: number;
  rootHash: string;
  leafHash: string;
  /** RFC 9162 section 2.1.3: its sibling first, each in base64. */
  hashes: string[];
  /** The signed checkpoint of that tree. */
  checkpoint: string;
  event: ProvedEventView;
  /** What is hashed: canonical JSON (RFC 8785). SHA-256 of a zero byte and this is `leafHash`. */
  leaf: string;
}

export class ConsistencyView {
  first: number;
  second: number;
  firstRootHash: string;
  secondRootHash: string;
  /** RFC 9162 section 2.1.4, each in base64. */
  hashes: string[];
  /** The newest signed checkpoint, whose tree begins with both. */
  checkpoint: string;
}

export class AuditKeyView {
  /** `name+id+base64`: give this to whoever checks, by another way than this server. */
  key: string;
  name: string;
  id: string;
  /** It has signed the newest checkpoint; the others have signed earlier ones. */
  signing: boolean;
}

export class AuditKeyList {
  items: AuditKeyView[];
}

export class ExportRangeView {
  /** The first event. */
  from: number;
  /** Behind the last one. */
  to: number;
  /** Leaves below the newest checkpoint. */
  signed: number;
}
