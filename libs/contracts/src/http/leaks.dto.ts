import { ApiProperty } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import {
  KEY_KINDS,
  LEAK_ACTIONS,
  LEAK_NO_ACTION_REASONS,
  LEAK_RESOLUTIONS,
  LEAK_SOURCES,
  LEAK_STATES,
  REPORTED_SOURCES,
  SCANNER_FORMATS,
  type KeyKind,
  type LeakAction,
  type LeakNoActionReason,
  type LeakResolution,
  type LeakSource,
  type LeakStateName,
  type ScannerFormat,
} from '../words.js';
import { IsSha256, LIMITS, Line, oneOf, Optional, Paragraph } from './fields.js';
import { OwnerView } from './key-views.dto.js';
import { PageQuery } from './page.dto.js';

const PLACE = 2048;
const TOKEN = 4096;

/** Either the key or its SHA-256. The key is hashed at once; what is kept of it is its hash and its mask. */
export class ReportLeakRequest {
  /** The whole key as it was found. */
  @Optional()
  @Line(TOKEN)
  key?: string;

  /**
   * The SHA-256 of the whole key. It finds imported keys and, where keys are hashed without a pepper, issued ones.
   * @example 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
   */
  @Optional()
  @IsSha256()
  sha256?: string;

  /**
   * Where it was found.
   * @example 'https://git.example.com/team/app/blob/4f2a/config.yml'
   */
  @Optional()
  @Line(PLACE)
  url?: string;

  /** Who saw it: somebody, or a scan. */
  @ApiProperty({ required: false, enum: REPORTED_SOURCES, default: 'report' })
  @Optional()
  @IsIn(REPORTED_SOURCES, oneOf(REPORTED_SOURCES))
  source?: (typeof REPORTED_SOURCES)[number];

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

/** "I found this key." No credential is needed; the answer is the same for every text. */
export class FoundKeyRequest {
  /** The whole key as it was found. */
  @Line(TOKEN)
  key: string;

  /** Where it was found. */
  @Optional()
  @Line(PLACE)
  url?: string;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class FoundKeyAnswer {
  /** Always the same: it says nothing about the key. */
  @ApiProperty({ enum: ['accepted'] })
  status: 'accepted';
}

export class ResolveLeakRequest {
  /** How it was closed. */
  @ApiProperty({ enum: LEAK_RESOLUTIONS })
  @IsIn(LEAK_RESOLUTIONS, oneOf(LEAK_RESOLUTIONS))
  resolution: LeakResolution;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class ListLeaksQuery extends PageQuery {
  /** Incidents about keys of this keyspace. */
  @Optional()
  @Line(LIMITS.name)
  keyspaceId?: string;

  @ApiProperty({ required: false, enum: LEAK_STATES })
  @Optional()
  @IsIn(LEAK_STATES, oneOf(LEAK_STATES))
  state?: LeakStateName;

  @ApiProperty({ required: false, enum: LEAK_SOURCES })
  @Optional()
  @IsIn(LEAK_SOURCES, oneOf(LEAK_SOURCES))
  source?: LeakSource;
}

export class ScannerRulesQuery {
  @ApiProperty({ enum: SCANNER_FORMATS })
  @IsIn(SCANNER_FORMATS, oneOf(SCANNER_FORMATS))
  format: ScannerFormat;
}

/** The key that was found. */
export class LeakedKeyView {
  keyId: string;
  /** The secret of it that was found. */
  secretId: string;
  keyspaceId: string;
  environment: string;
  @ApiProperty({ enum: KEY_KINDS })
  kind: KeyKind;
  owner: OwnerView;
  /**
   * What the keyspace says about keys of this class: `revoke`, `suspend`, `alert` or `rotate:` with a grace.
   * @example 'revoke'
   */
  response: string;
  matchedAt: string;
}

export class LeakActionView {
  @ApiProperty({ enum: LEAK_ACTIONS })
  action: LeakAction;
  /** Why nothing was done: it was over before. */
  @ApiProperty({ required: false, enum: LEAK_NO_ACTION_REASONS })
  because?: LeakNoActionReason;
  /** Revision of the key at which it says so itself. */
  keyRevision: number;
  takenAt: string;
}

export class LeakResolutionView {
  @ApiProperty({ enum: LEAK_RESOLUTIONS })
  resolution: LeakResolution;
  comment?: string;
  resolvedAt: string;
}

/** Who presented a decoy. */
export class PresentedFromView {
  address?: string;
  userAgent?: string;
  /** keyId of the management key of the service that asked about it. */
  service?: string;
}

/** How long the steps took, from the report on. */
export class LeakTimesView {
  matchedAfterMs?: number;
  actedAfterMs?: number;
  resolvedAfterMs?: number;
}

export class LeakView {
  leakId: string;
  /** `unmatched`: no key of ours, as far as is known; `open`: one, and nobody has closed the incident. */
  @ApiProperty({ enum: LEAK_STATES })
  state: LeakStateName;
  @ApiProperty({ enum: LEAK_SOURCES })
  source: LeakSource;
  /** Of a text of our format. */
  mask?: string;
  /** What the reporter calls this kind of token. */
  tokenType?: string;
  url?: string;
  /** What kind of place that is, e.g. `commit`. */
  location?: string;
  comment?: string;
  presentedFrom?: PresentedFromView;
  reportedAt: string;
  /** Absent while no key of ours is known to be meant, or none within your reach. */
  key?: LeakedKeyView;
  action?: LeakActionView;
  resolution?: LeakResolutionView;
  times: LeakTimesView;
  /** Revision of the incident, as in the ETag. */
  revision: number;
}

export class ChangedLeak extends LeakView {
  /** Whether all is done and visible; if not, a worker finishes it. */
  effective: boolean;
}

export class ReportedLeak extends ChangedLeak {
  /** What to do so that the report finds its key. */
  hint?: string;
}

export class LeakList {
  items: LeakView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}
