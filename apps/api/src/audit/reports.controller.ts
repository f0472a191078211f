import { Controller, Get, Param, Query, Res } from '@nestjs/common';
import { PAGE_POLICY, REPORTS, type Report, type ReportFormat } from '@keyledger/audit';
import { refusal } from '@keyledger/contracts';
import { ReportList, ReportQuery, ReportView } from '@keyledger/contracts/http';
import { Decisions } from '@keyledger/event-store';
import { callerOf, invalidField, RefusalError, systemClock } from '@keyledger/platform';
import type { FastifyReply } from 'fastify';
import { keyspaceFor } from '../access.js';
import { AnswersIn, DOWNLOADED } from '../http/forms.js';
import { Needs } from '../http/needs.js';
import { plain } from '../http/plain.js';
import { AccessLog } from './access-log.js';
import { CurrentInquiry, questionOf, type Inquiry } from './inquiry.js';
import { Reports } from './reports.js';
import { leavingOf } from './streaming.js';

const MEDIA_TYPES: Readonly<Record<ReportFormat, string>> = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  html: 'text/html; charset=utf-8',
};

/** What an auditor asks for, as of any instant. */
@Controller('v1/audit/reports')
export class ReportsController {
  constructor(
    private readonly reports: Reports,
    private readonly decisions: Decisions,
    private readonly access: AccessLog,
  ) {}

  /** List the reports that there are, with what each says. */
  @Get()
  @Needs('audit:read')
  list(): ReportList {
    const items = [...REPORTS.values()].map(({ name, title, description, period, columns }) => {
      return { name, title, description, period, columns: [...columns] };
    });
    return { items };
  }

  /** Make a report as JSON, as CSV, which needs the scope `audit:export`, or as a page that prints well. */
  @Get(':name')
  @Needs('audit:read', { refusals: [404, 429] })
  @AnswersIn(ReportView, { text: ['text/csv', 'text/html'], headers: DOWNLOADED })
  async make(
    @Param('name') name: string,
    @Query() query: ReportQuery,
    @CurrentInquiry() inquiry: Inquiry,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const report = reportNamed(name);
    const format = query.format ?? formatOf(inquiry.accept);
    const reader = format === 'csv' ? callerOf(inquiry.caller.principal, 'audit:export') : inquiry.caller;
    const { keyspaceId } = query;
    if (keyspaceId !== undefined) await keyspaceFor(this.decisions, keyspaceId, reader);
    const within = keyspaceId === undefined ? reader.reach : [keyspaceId];
    const generatedAt = systemClock();
    const head = { report, ...momentOf(report, plain(query), generatedAt), within, generatedAt };
    const question = questionOf(inquiry, { name, ...plain(query), at: head.at }, format);
    if (format === 'csv') await this.access.exported(question, inquiry.context);
    else await this.access.read(question, inquiry.context);
    const text = await this.reports.make(format, head, leavingOf(reply));
    const headers = {
      'content-type': MEDIA_TYPES[format],
      'x-content-type-options': 'nosniff',
      ...(format === 'html' && { 'content-security-policy': PAGE_POLICY }),
      ...(format === 'csv' && { 'content-disposition': `attachment; filename="${name}-${head.at.slice(0, 10)}.csv"` }),
    };
    await reply.headers(headers).send(text);
  }
}

function reportNamed(name: string): Report {
  const report = REPORTS.get(name);
  if (report) return report;
  const error = { field: 'name', message: 'is no report', fix: `one of ${[...REPORTS.keys()].join(', ')}` };
  throw new RefusalError(refusal('NOT_FOUND', 'There is no such report.', [error]));
}

/** What a browser, a spreadsheet or a program wants; JSON for whoever does not say. */
function formatOf(accept: string): ReportFormat {
  const wanted = accept.split(',').map((part) => part.split(';')[0]?.trim());
  if (wanted.includes('text/html')) return 'html';
  return wanted.includes('text/csv') ? 'csv' : 'json';
}

/** @throws RefusalError 400 naming the field that the report cannot be made for */
function momentOf(report: Report, { at, from, to }: ReportQuery, now: string) {
  if (at !== undefined && at > now) throw invalidField('at', 'lies in the future', `at most ${now}`);
  if (!report.period) {
    const field = from === undefined ? 'to' : 'from';
    if (from !== undefined || to !== undefined) {
      throw invalidField(field, `says nothing to ${report.name}, which is about one instant`, '"at" instead');
    }
    return { at: at ?? now };
  }
  if (from !== undefined && to !== undefined && from >= to) {
    throw invalidField('to', 'is not after "from"', `an instant after ${from}`);
  }
  return { at: at ?? now, ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
}
