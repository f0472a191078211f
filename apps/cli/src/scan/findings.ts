import { printable, type Output } from '../print.js';
import type { Match } from './text-scan.js';

/** A match in a place that has a name. */
export interface Finding extends Omit<Match, 'key'> {
  path: string;
  commit?: string;
}

/** How much was scanned. */
export interface Summary {
  texts: number;
  bytes: number;
  binarySkipped: number;
  findings: number;
  errors: number;
}

/** Writes findings as they come, so that it needs no memory for them. */
export interface FindingsWriter {
  begin(): void;
  finding(finding: Finding): void;
  end(summary: Summary): void;
}

export const FORMATS = ['text', 'json', 'sarif'] as const;
export type Format = (typeof FORMATS)[number];

export function textWriter(output: Output): FindingsWriter {
  return {
    begin: () => undefined,
    finding: ({ path, line, column, mask, rule, commit }) => {
      const where = `${printable(path)}:${line}:${column}`;
      output.write(`${commit === undefined ? '' : `${commit.slice(0, 12)} `}${where}: ${printable(mask)} (${rule})\n`);
    },
    end: () => undefined,
  };
}

export function jsonWriter(output: Output): FindingsWriter {
  const next = separated(output);
  return {
    begin: () => output.write('{"findings":['),
    finding: (finding) => next(finding),
    end: (summary) => output.write(`],"scanned":${JSON.stringify(summary)}}\n`),
  };
}

/** Writes the items of a JSON array. */
export function separated(output: Output): (item: object) => void {
  let separator = '';
  return (item) => {
    output.write(separator + JSON.stringify(item));
    separator = ',\n';
  };
}
