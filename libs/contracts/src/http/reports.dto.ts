import { ApiProperty } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { IsInstant, LIMITS, Line, Optional } from './fields.js';

export const REPORT_ANSWERS = ['json', 'csv', 'html'] as const;
export type ReportAnswer = (typeof REPORT_ANSWERS)[number];

export class ReportQuery {
  /** The instant as of which the report is made; now without it. What was recorded later is not in it. */
  @Optional()
  @IsInstant()
  at?: string;

  /** Of a report over a period: what was recorded from then on. */
  @Optional()
  @IsInstant()
  from?: string;

  /** Of a report over a period: what was recorded before. */
  @Optional()
  @IsInstant()
  to?: string;

  /**
   * This keyspace only.
   * @example 'acme'
   */
  @Optional()
  @Line(LIMITS.name)
  keyspaceId?: string;

  /** Without it, as the header `Accept` says. */
  @ApiProperty({ required: false, enum: REPORT_ANSWERS })
  @Optional()
  @IsIn(REPORT_ANSWERS, {
    message: 'is no format of a report',
    context: { fix: `one of ${REPORT_ANSWERS.join(', ')}` },
  })
  format?: ReportAnswer;
}

export class ReportColumnView {
  /** Member of a row, and head of the column in CSV. */
  name: string;
  title: string;
}

export class ReportDescription {
  /** @example 'inventory' */
  name: string;
  title: string;
  description: string;
  /** Whether it takes `from` and `to`; else it is about one instant. */
  period: boolean;
  columns: ReportColumnView[];
}

export class ReportList {
  items: ReportDescription[];
}

export class ReportView {
  report: string;
  title: string;
  description: string;
  at: string;
  from?: string;
  to?: string;
  /** The keyspaces that the report was made for: those named, or "all". */
  @ApiProperty({
    oneOf: [
      { type: 'string', enum: ['all'] },
      { type: 'array', items: { type: 'string' } },
    ],
  })
  keyspaces: 'all' | string[];
  generatedAt: string;
  columns: ReportColumnView[];
  /** Members are those of `columns`; one without a value is left out. `events` is where the events behind a row are. */
  @ApiProperty({ type: 'array', items: { type: 'object', additionalProperties: true } })
  rows: Record<string, unknown>[];
  /** How many rows there are. Last, so that a report that was cut off is known for it. */
  count: number;
}
