import { PREFIX_PATTERN } from '@keyledger/domain/key-format';
import { closeSync, openSync, readSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { EXIT, UsageError, type ExitCode } from '../exit.js';
import { examples, list } from '../options.js';
import { printable } from '../print.js';
import type { RunWith } from '../run.js';
import { filesBelow, isBinary, type FileRules } from '../scan/files.js';
import {
  FORMATS,
  jsonWriter,
  textWriter,
  type Finding,
  type FindingsWriter,
  type Format,
  type Summary,
} from '../scan/findings.js';
import type { GitObject } from '../scan/git-history.js';
import { ALLOW, TextScan, type Match, type ScanRules } from '../scan/text-scan.js';
import type { Session } from '../session.js';

interface ScanOptions {
  stdin?: boolean;
  git?: string | true;
  prefix?: string[];
  pattern?: ScanRules['patterns'][number][];
  format?: Format;
  exclude?: string[];
  skipIgnored?: boolean;
  binary?: boolean;
  report?: boolean;
  reportUrl?: string;
}

/** How many different keys one run reports; who has more has to look at where they come from first. */
const MOST_REPORTS = 1000;

export function scanCommand(runWith: RunWith): Command {
  const command = new Command('scan')
    .argument('[paths...]', 'files and folders (default: the folder that you are in); with --git the repository')
    .description(
      `find keys in files, standard input or a git history, by format and checksum. Exit code ${EXIT.found}: some were found`,
    )
    .option('--stdin', 'scan standard input')
    .option('--git [range]', 'scan the whole history, or a range such as --git=main..feature')
    .option('--prefix <list>', 'only keys with these prefixes', prefixes)
    .option('--pattern <name=regex>', 'find this too; may be repeated', patterns)
    .addOption(new Option('--format <format>', 'how findings are told (default: text)').choices(FORMATS))
    .option('--exclude <names>', 'pass over files and folders of these names; may be repeated', list)
    .option('--skip-ignored', 'pass over what git ignores')
    .option('--binary', 'scan binary files too')
    .option('--report', 'report the keys that were found to the server, which acts on them (scope leaks:report)')
    .option('--report-url <url>', 'where they can be seen, for the report')
    .addHelpText(
      'after',
      `\nA line with the comment ${ALLOW} is passed over. Keys are shown by their masks only.\nnode_modules and .git are passed over; --git scans the history.`,
    );
  return examples(
    command,
    'scan',
    'scan --git --format sarif > keys.sarif',
    'scan . --git=origin/main..HEAD',
    'git diff --cached | keyledger scan --stdin',
    `scan src --pattern 'github=ghp_[0-9A-Za-z]{36}'`,
  ).action(
    runWith(async (session, paths: string[], options: ScanOptions) => {
      const writer = await writerFor(session, options);
      return new Run(session, options, writer).scan(paths);
    }),
  );
}

// What only some runs need is loaded by them: a scan before every commit is short beside loading all of it.
async function writerFor(
  { options, terminal }: Session,
  { format, pattern = [] }: ScanOptions,
): Promise<FindingsWriter> {
  const chosen = format ?? (options.json ? 'json' : 'text');
  if (chosen === 'text') return textWriter(terminal.stdout);
  if (chosen === 'json') return jsonWriter(terminal.stdout);
  const { sarifWriter } = await import('../scan/sarif.js');
  return sarifWriter(
    terminal.stdout,
    pattern.map(({ name }) => name),
  );
}

/** One run of the command. */
class Run {
  private readonly text: TextScan;
  /** What becomes of a match in the text at hand. */
  private matched: (match: Match) => void = () => undefined;
  private readonly summary: Summary = { texts: 0, bytes: 0, binarySkipped: 0, findings: 0, errors: 0 };
  private readonly keys = new Set<string>();

  constructor(
    private readonly session: Session,
    private readonly options: ScanOptions,
    private readonly writer: FindingsWriter,
  ) {
    const { prefix, pattern = [] } = options;
    const rules: ScanRules = { patterns: pattern, ...(prefix && { prefixes: prefix }) };
    this.text = new TextScan(rules, (match) => this.matched(match));
  }

  async scan(paths: readonly string[]): Promise<ExitCode> {
    const { stdin, git, report } = this.options;
    if (stdin && (git || paths.length > 0)) throw new UsageError('Scan either --stdin or paths');
    if (git && paths.length > 1) throw new UsageError('Scan the history of one repository at a time');
    this.writer.begin();
    if (stdin) await this.scanInput();
    else if (git) await this.scanHistory(paths[0] ?? '.', git === true ? undefined : git);
    else for (const path of paths.length > 0 ? paths : ['.']) this.scanFiles(path);
    this.writer.end(this.summary);
    this.tellSummary();
    if (report) await this.report();
    if (this.summary.findings > 0) return EXIT.found;
    return this.summary.errors > 0 ? EXIT.usage : EXIT.ok;
  }

  private scanFiles(root: string): void {
    const { exclude = [], skipIgnored = false, binary = false } = this.options;
    const rules: FileRules = { exclude, skipIgnored, binary };
    for (const path of filesBelow(root, rules, (failed, error) => this.fail(failed, error))) {
      this.matched = (match) => this.found({ ...match, path });
      try {
        this.scanFile(path);
      } catch (error) {
        this.fail(path, error as Error);
      }
    }
  }

  private scanFile(path: string): void {
    const file = openSync(path, 'r');
    let taken = 0;
    try {
      for (;;) {
        const { space } = this.text;
        const count = readSync(file, space, 0, space.length, null);
        if (count === 0) break;
        if (taken === 0 && this.isPassedOver(space.subarray(0, count))) return;
        this.text.take(count);
        taken += count;
      }
      this.summary.texts++;
    } finally {
      closeSync(file);
      this.text.end();
      this.summary.bytes += taken;
    }
  }

  private isPassedOver(beginning: Buffer): boolean {
    if (this.options.binary || !isBinary(beginning)) return false;
    this.summary.binarySkipped++;
    return true;
  }

  private async scanInput(): Promise<void> {
    this.matched = (match) => this.found({ ...match, path: '(standard input)' });
    for await (const chunk of this.session.terminal.stdin) {
      const piece = Buffer.from(chunk as Buffer);
      this.summary.bytes += piece.length;
      this.text.feed(piece);
    }
    this.text.end();
    this.summary.texts++;
  }

  private async scanHistory(repository: string, range: string | undefined): Promise<void> {
    const { commitOf, readHistory } = await import('../scan/git-history.js');
    const open: { object: GitObject; match: Match }[] = [];
    let isFirst = true;
    let skipped = false;
    await readHistory(repository, range, {
      begin: (object) => {
        this.matched = (match) => open.push({ object, match });
        isFirst = true;
        skipped = false;
        this.summary.texts++;
      },
      piece: (bytes) => {
        if (isFirst) skipped = this.isPassedOver(bytes);
        isFirst = false;
        if (skipped) return;
        this.text.feed(bytes);
        this.summary.bytes += bytes.length;
      },
      end: () => this.text.end(),
    });
    let last: { id: string; commit: string } | undefined;
    for (const { object: from, match } of open) {
      if (last?.id !== from.id) last = { id: from.id, commit: await commitOf(repository, from) };
      this.found({ ...match, path: from.path, commit: last.commit });
    }
  }

  private found({ key, ...finding }: Finding & Pick<Match, 'key'>): void {
    this.summary.findings++;
    this.writer.finding(finding);
    if (this.options.report && key !== undefined && this.keys.size < MOST_REPORTS) this.keys.add(key);
  }

  private fail(path: string, error: Error): void {
    this.summary.errors++;
    this.session.note(`keyledger: ${printable(`${path} cannot be scanned: ${error.message}`)}`);
  }

  private tellSummary(): void {
    const { texts, bytes, findings, binarySkipped } = this.summary;
    const mib = (bytes / 2 ** 20).toFixed(1);
    const skipped = binarySkipped > 0 ? `, ${binarySkipped} binary passed over` : '';
    this.session.note(`${findings} found in ${texts} texts (${mib} MiB)${skipped}`);
  }

  /** The server hashes a key before it does anything else, and keeps none. */
  private async report(): Promise<void> {
    const { reportUrl: url } = this.options;
    let reported = 0;
    try {
      for (const key of this.keys) {
        const body = { key, source: 'scan', ...(url !== undefined && { url }) };
        await this.session.change('POST', '/v1/leaks', body, {});
        reported++;
      }
    } finally {
      this.session.note(`${reported} of ${this.keys.size} reported`);
    }
  }
}

function prefixes(text: string, before: string[] = []): string[] {
  const wanted = list(text, before);
  const wrong = wanted.find((prefix) => !PREFIX_PATTERN.test(prefix));
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is no prefix: 2 to 12 of a-z and 0-9.`);
  return wanted;
}

function patterns(text: string, before: ScanRules['patterns'][number][] = []): ScanRules['patterns'][number][] {
  const [, name, source] = /^([A-Za-z0-9][\w-]{0,63})=(.+)$/s.exec(text) ?? [];
  if (name === undefined || source === undefined) throw new InvalidArgumentError('Write it as name=regex.');
  try {
    return [...before, { name, expression: new RegExp(source, 'gm') }];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
