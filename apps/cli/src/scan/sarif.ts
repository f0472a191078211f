import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import type { Output } from '../print.js';
import { VERSION } from '../version.js';
import { separated, type Finding, type FindingsWriter } from './findings.js';
import { KEY_RULE } from './text-scan.js';

const SARIF_SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';

/** SARIF 2.1.0, as code hosts read it. */
export function sarifWriter(output: Output, ruleNames: readonly string[]): FindingsWriter {
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
