import type { ScannerFormat } from '@keyledger/contracts';
import { secretKeyPattern, type KeyspaceState } from '@keyledger/domain';

export interface ScannerRules {
  mediaType: string;
  text: string;
}

/**
 * The rules by which a scanner finds the secret keys of a keyspace. Publishable keys are left out: they may be seen.
 * No scanner's expression can check the checksum; what it finds, a report or `keyledger scan` tells.
 */
export function scannerRules(
  { keyspaceId, name, prefix, environments }: KeyspaceState,
  format: ScannerFormat,
): ScannerRules {
  const pattern = secretKeyPattern(prefix, environments);
  const keywords = environments.map((environment) => `${prefix}_${environment}_`);
  const description = `API key of ${name} (${keyspaceId})`.replace(/[^\p{L}\p{N} .,()_-]/gu, ' ');
  switch (format) {
    case 'gitleaks':
      return {
        mediaType: 'application/toml',
        text: [
          `title = ${quoted(description)}`,
          '',
          '[[rules]]',
          `id = "${keyspaceId}-api-key"`,
          `description = ${quoted(description)}`,
          `regex = '''\\b(${pattern})\\b'''`,
          'secretGroup = 1',
          `keywords = [${keywords.map(quoted).join(', ')}]`,
          'tags = ["api-key", "keyledger"]',
          '',
        ].join('\n'),
      };
    case 'trufflehog':
      return {
        mediaType: 'application/yaml',
        text: [
          'detectors:',
          `  - name: ${quoted(`keyledger-${keyspaceId}`)}`,
          `    description: ${quoted(description)}`,
          `    keywords: [${keywords.map(quoted).join(', ')}]`,
          '    regex:',
          `      key: '\\b(${pattern})\\b'`,
          '    primary_regex_name: key',
          '',
        ].join('\n'),
      };
    case 'secretlint': {
      const patterns = [{ name: description, patterns: [`/\\b${pattern}\\b/`] }];
      const rules = [{ id: '@secretlint/secretlint-rule-pattern', options: { patterns } }];
      return { mediaType: 'application/json', text: `${JSON.stringify({ rules }, null, 2)}\n` };
    }
  }
}

/** Strings of JSON are strings of TOML and YAML too. */
const quoted = (text: string): string => JSON.stringify(text);
