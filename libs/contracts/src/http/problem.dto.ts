import { REFUSALS, type RefusalCode } from '../refusals.js';
import { ApiProperty } from '@nestjs/swagger';

/** One thing that was wrong. */
export class FieldErrorView {
  /**
   * Path of the field as the caller wrote it.
   * @example 'owner.id'
   */
  field: string;
  /**
   * What is wrong with it.
   * @example 'is missing'
   */
  message: string;
  /** What would be right. */
  fix?: string;
}

/** An error, RFC 9457, served as application/problem+json. */
export class ProblemView {
  /** @example 'urn:keyledger:problem:INVALID' */
  type: string;
  title: string;
  status: number;
  detail: string;
  /** The request that this answers. */
  instance: string;
  /** What programs match on; it does not change between releases. */
  @ApiProperty({ enum: Object.keys(REFUSALS) })
  code: RefusalCode;
  errors?: FieldErrorView[];
}
