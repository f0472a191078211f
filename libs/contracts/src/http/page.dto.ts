import { IsInt, Max, Min } from 'class-validator';
import { Digits, LIMITS, Line, Optional } from './fields.js';

const pageLength = {
  message: 'is not a page length',
  context: { fix: `a whole number from 1 to ${LIMITS.page}` },
};

export class PageQuery {
  /** How many items at most; a page may hold fewer and still have a next one. */
  @Optional()
  @Digits()
  @IsInt(pageLength)
  @Min(1, pageLength)
  @Max(1000, pageLength)
  limit?: number;

  /** `nextCursor` of the page before. */
  @Optional()
  @Line(512)
  cursor?: string;
}
