import { ApiProperty } from '@nestjs/swagger';
import { PERSONAL_FIELDS, SUBJECT_KINDS, type PersonalField, type SubjectKind } from '../personal.js';
import { LIMITS, Line, Optional, Paragraph } from './fields.js';

/** Whose data is looked for: exactly one of these. In a body, because URLs end up in logs. */
export class FindSubjectRequest {
  /** The contact of the owner with this id. */
  @Optional()
  @Line(LIMITS.ownerId)
  ownerId?: string;

  /**
   * The person or service named in X-Keyledger-On-Behalf-Of, whatever the case of its letters.
   * @example 'jane@example.com'
   */
  @Optional()
  @Line(256)
  onBehalfOf?: string;

  /** From where the key with this id acted without naming anybody. */
  @Optional()
  @Line(LIMITS.name)
  keyId?: string;

  /** Requests from this address that came with no credential. */
  @Optional()
  @Line(LIMITS.name)
  address?: string;
}

export class EraseSubjectRequest {
  /**
   * Why; stands in the audit trail for good, so name nobody.
   * @example 'request of the person'
   */
  @Line(LIMITS.reason)
  reason: string;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class ErasureView {
  /** Of the data key; later data about the same subject has a key of the next generation. */
  generation: number;
  reason: string;
  comment?: string;
  erasedAt: string;
  /** Whether the key is gone from the folder of this installation; if not yet, it is tried until it is. */
  keyDestroyed: boolean;
}

export class SubjectView {
  /** @example '3vQ8Z6V7K3M5N9P2R4T6W8' */
  subjectId: string;
  @ApiProperty({ enum: SUBJECT_KINDS })
  kind: SubjectKind;
  /** `held`: there is data that can be read; `erased`: there was. */
  @ApiProperty({ enum: ['held', 'erased'] })
  state: 'held' | 'erased';
  /** Who it is, while anything is held. */
  name?: string;
  /** The fields of events and keys that are this subject's, and go with an erasure. */
  @ApiProperty({ enum: PERSONAL_FIELDS, isArray: true })
  fields: PersonalField[];
  /** Since when the data that can be read was gathered. */
  heldSince?: string;
  /** Keys of an owner, or the key whose holder it is; the first thousand. */
  keyIds?: string[];
  /** Oldest first. */
  erasures: ErasureView[];
}
