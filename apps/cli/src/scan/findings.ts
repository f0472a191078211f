import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { printable, type Output } from '../print.js';
import { VERSION } from '../version.js';
import { KEY_RULE, type Match } from './text-scan.js';

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

export function writerOf(format: Format, output: Output, ruleNames: readonly string[]): FindingsWriter {
  if (format === 'text') return textWriter(output);
  return format === 'json' ? jsonWriter(output) : sarifWriter(output, ruleNames);
}

function textWriter(output: Output): FindingsWriter {
  return {
    begin: () => undefined,
    finding: ({ path, line, column, mask, rule, commit }) => {
      const where = `${printable(path)}:${line}:${column}`;
      output.write(`${commit === undefined ? '' : `${commit.slice(0, 12)} `}${where}: ${printable(mask)} (${rule})\n`);
    },
    end: () => undefined,
  };
}

function jsonWriter(output: Output): FindingsWriter {
  const next = separated(output);
  return {
    begin: () => output.write('{"findings":['),
    finding: (finding) => next(finding),
    end: (summary) => output.write(`],"scanned":${JSON.stringify(summary)}}\n`),
  };
}

const SARIF_SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';

/** SARIF 2.1.0, as code hosts read it. */
function sarifWriter(output: Output, ruleNames: readonly string[]): FindingsWriter {
  const next = separated(output);
  const rules = [KEY_RULE, ...ruleNames].map((id) => ({
    id,
    shortDescription: { text: id === KEY_RULE ? 'An API key issued by Keyledger' : `A secret of the pattern ${id}` },
    help: { text: 'Revoke or rotate the key; taking it out of the text does not make it secret again.' },
    defaultConfiguration: { level: 'error' },
    properties: { tags: ['security', 'secret'], 'security-severity': '9.0' },
  }));
  const driver = { name: 'keyledger scan', version: VERSION, rules };
  return {
    begin: () => {
      const head = `{"$schema":${JSON.stringify(SARIF_SCHEMA)},"version":"2.1.0","runs":[`;
      output.write(`${head}{"tool":{"driver":${JSON.stringify(driver)}},"columnKind":"utf16CodeUnits","results":[`);
    },
    finding: (finding) => next(sarifResult(finding)),
    end: () => output.write(']}]}\n'),
  };
}

function sarifResult({ rule, mask, path, line, column, commit }: Finding): object {
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([rule, mask, path]))
    .digest('hex');
  const uri = path.startsWith('/') ? pathToFileURL(path).href : path.split('/').map(encodeURIComponent).join('/');
  return {
    ruleId: rule,
    level: 'error',
    message: { text: `A key stands here: ${mask}` },
    locations: [{ physicalLocation: { artifactLocation: { uri }, region: { startLine: line, startColumn: column } } }],
    partialFingerprints: { 'keyledgerMask/v1': fingerprint },
    ...(commit !== undefined && { properties: { commit } }),
  };
}

function separated(output: Output): (item: object) => void {
  let separator = '';
  return (item) => {
    output.write(separator + JSON.stringify(item));
    separator = ',\n';
  };
}
