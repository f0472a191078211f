import type { Instant } from '../time.js';

/** What was asked of the audit trail. Every member is as the caller wrote it; a presented key is never among them. */
export interface AuditQuestion {
  /** e.g. `GET /v1/audit/events`. */
  route: string;
  /** What it was narrowed to: names of parameters and their values. */
  filter: Record<string, string>;
  /** The stretch of time or of the log that was asked for. */
  range: { from?: string; to?: string };
  format: 'json' | 'ndjson' | 'csv' | 'html' | 'ocsf' | 'events';
}

/** Somebody was shown a part of the audit trail. Recorded before it was. */
export interface AuditTrailRead {
  type: 'AuditTrailRead';
  data: AuditQuestion & {
    /** How many events or keys the answer held; absent for a live tail. */
    count?: number;
    readAt: Instant;
  };
}

/** Somebody began to take a part of the audit trail away. Recorded before the first byte went out. */
export interface AuditTrailExported {
  type: 'AuditTrailExported';
  data: AuditQuestion & {
    /** Of a batch; absent for a stream, which is recorded as it begins. */
    count?: number;
    exportedAt: Instant;
  };
}

export type AuditAccessEvent = AuditTrailRead | AuditTrailExported;
