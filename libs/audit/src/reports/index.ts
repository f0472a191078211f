import { changesByActor, revocations, rotations } from './change-reports.js';
import { inventory, neverUsed, olderThanPolicy, policies } from './key-reports.js';
import { leaks } from './leak-report.js';
import type { Report } from './report.js';
import { accessReview } from './review-report.js';
import { scopeHolders } from './scope-report.js';

export { renderReport, type ReportFormat, type ReportHead } from './render.js';
export { PAGE_POLICY } from './page-style.js';
export { runReport, type Report, type ReportQuestion, type ReportRow, type ReportSource } from './report.js';

/** Every report there is, by its name. */
export const REPORTS: ReadonlyMap<string, Report> = new Map(
  [
    inventory,
    olderThanPolicy,
    rotations,
    revocations,
    leaks,
    neverUsed,
    scopeHolders,
    changesByActor,
    policies,
    accessReview,
  ].map((report) => [report.name, report]),
);
