// `npm run tour`: runs the very commands of the README's tour against the running system, one after the other in one
// shell, shows each with its answer, and fails when a command fails or answers otherwise than the README shows. Ids,
// secrets, times and the tour's own prefix are masked before answers are compared. `-- --update` writes the answers
// into the README instead of comparing them.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Refusal, runScript } from './prepare.mjs';

const README = join(ROOT, 'README.md');
const STEP_TIMEOUT_MS = 60_000;
const ANSWERS_WITHIN_MS = 5_000;
/** Where the tour finds the system: by its address, else by the port that `npm run up` would take in this environment. */
const ADDRESSES = [
  { app: 'api', url: 'KEYLEDGER_URL', port: 'KEYLEDGER_API_PORT', usual: '7400' },
  { app: 'verifier', url: 'KEYLEDGER_VERIFIER_URL', port: 'KEYLEDGER_VERIFIER_PORT', usual: '7401' },
];

async function tour() {
  if (!process.env.KEYLEDGER_KEY) {
    throw new Refusal('KEYLEDGER_KEY is not set: export the management key that `npm run up` showed when it first ran');
  }
  if (!existsSync(join(ROOT, 'dist', 'apps', 'cli', 'src', 'main.js'))) {
    throw new Refusal('there is no build yet: start the system first, with `npm run up`');
  }
  const addresses = await foundAddresses();
  const readme = readFileSync(README, 'utf8');
  const steps = stepsOf(readme);
  const update = process.argv.includes('--update');
  const session = new Session(addresses);
  const answers = [];
  try {
    for (const [index, step] of steps.entries()) {
      process.stdout.write(`\n${step.command.replace(/^/gm, '$ ').replace(/^\$ ( +)/gm, '> $1')}\n`);
      const { output, code } = await session.run(step.command);
      process.stdout.write(output);
      if (code !== 0) throw new Refusal(`step ${index + 1} of the tour failed with exit code ${code}`);
      answers.push(output);
      if (!update) compare(step, output, index + 1);
    }
  } finally {
    session.end();
  }
  if (update) writeFileSync(README, withAnswers(readme, steps, answers));
  process.stdout.write(`\nThe tour is over: ${steps.length} steps, all as the README ${update ? 'now ' : ''}shows.\n`);
}

/** Each address by the name of its setting, once something of ours has answered there. */
async function foundAddresses() {
  const found = {};
  for (const { app, url: setting, port, usual } of ADDRESSES) {
    const url = process.env[setting] || `http://127.0.0.1:${process.env[port] || usual}`;
    const problem = await whyNotThere(url);
    if (problem) {
      throw new Refusal(
        `the ${app} is not at ${url}: ${problem}.\n` +
          `Is the system up? Else export ${setting} with the address of the ${app} that \`npm run up\` showed`,
      );
    }
    found[setting] = url;
  }
  return found;
}

async function whyNotThere(url) {
  try {
    const response = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
    const { status } = await response.json();
    return status === 'ok' ? undefined : `/health/live answers ${response.status} ${status}`;
  } catch (error) {
    if (error instanceof SyntaxError) return 'what answers there is not Keyledger';
    return error.cause?.code ?? error.cause?.message ?? error.message;
  }
}

/** The fenced `sh` blocks between the markers, each with the `text` block behind it, if there is one. */
function stepsOf(readme) {
  const [, tour] = /<!-- tour -->([\s\S]*?)<!-- \/tour -->/.exec(readme) ?? [];
  if (tour === undefined) throw new Refusal('README.md has no tour between <!-- tour --> and <!-- /tour -->');
  const blocks = [...tour.matchAll(/^```(sh|text)\n([\s\S]*?)^```$/gm)];
  const steps = [];
  for (const { 1: kind, 2: body } of blocks) {
    const last = steps.at(-1);
    if (kind === 'sh') steps.push({ command: body.trimEnd(), expected: undefined });
    else if (last && last.expected === undefined) last.expected = body;
    else throw new Refusal(`README.md's tour has an answer without a command:\n${body}`);
  }
  if (steps.length === 0) throw new Refusal("README.md's tour has no commands");
  return steps;
}

function compare({ expected = '' }, output, number) {
  const wanted = masked(expected);
  const got = masked(output);
  if (wanted.join('\n') === got.join('\n')) return;
  const at = wanted.findIndex((line, index) => line !== got[index]);
  const line = at < 0 ? wanted.length : at;
  const show = (lines) => lines[line] ?? '(nothing)';
  throw new Refusal(
    `step ${number} of the tour answers otherwise than the README shows, in line ${line + 1}:\n` +
      `  README: ${show(wanted)}\n  answer: ${show(got)}\nIf the answer is right: npm run tour -- --update`,
  );
}

/** Lines without what differs from run to run. Runs of blanks count as one, since ids set the widths of tables. */
function masked(text) {
  return withoutSecrets(text)
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>')
    .replace(/\b\d{4}-\d\d-\d\d\b/g, '<day>')
    .replace(/\bt\d{10}(?![0-9A-Za-z])/g, '<prefix>')
    .replace(/urn:keyledger:request:\S+/g, '<request>')
    .replace(/(^|\s)\/\S+\/(?=[\w.]+\.key\b)/g, '$1<folder>/')
    .replace(/_[0-9A-Za-z]{12}_…[0-9A-Za-z]{4}/g, '_<mask>')
    .replace(/\b[0-9A-Za-z]{22}\b/g, '<id>')
    .replace(/\b(?=[a-z]*[0-9A-Z])[0-9A-Za-z]{12}\b/g, '<id>')
    .replace(/127\.0\.0\.1:\d+/g, '<address>')
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter((line) => line !== '');
}

function withoutSecrets(text) {
  return text.replace(
    /\b([a-z][a-z0-9]+_[a-z][a-z0-9]+)_[0-9A-Za-z]{12}_([0-9A-Za-z]{49}|<49 characters>)/g,
    '$1_<key>',
  );
}

function withAnswers(readme, steps, answers) {
  let rest = readme;
  let done = '';
  for (const [index, { command, expected }] of steps.entries()) {
    const block = '```sh\n' + command + '\n```';
    const end = rest.indexOf(block) + block.length;
    done += rest.slice(0, end);
    rest = rest.slice(end);
    if (expected !== undefined) rest = rest.slice(rest.indexOf('```text\n' + expected) + 8 + expected.length + 3);
    const answer = shown(answers[index]);
    if (answer !== '') done += '\n\n```text\n' + answer + '\n```';
  }
  return done + rest;
}

/** An answer as it may stand in a file: the secret part of a key taken out. */
function shown(text) {
  return text
    .replace(/\b([a-z][a-z0-9]+_[a-z][a-z0-9]+_[0-9A-Za-z]{12})_[0-9A-Za-z]{49}/g, '$1_<49 characters>')
    .trimEnd();
}

/** One shell for all steps, so that what a step sets is there for the next. A failing command ends it. */
class Session {
  #mark = `tour-${randomBytes(12).toString('hex')}`;
  #shell;
  #output = '';
  #settle = () => {};

  /** @param env set besides what this process has */
  constructor(env) {
    this.#shell = spawn('bash', ['--noprofile', '--norc', '-e'], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#shell.stdout.setEncoding('utf8').on('data', (text) => {
      this.#output += text;
      this.#settle();
    });
    this.#shell.stdin.on('error', () => {});
    this.#shell.on('error', (error) => this.#settle(error));
  }

  run(command) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => finish(reject, new Refusal(`no answer within ${STEP_TIMEOUT_MS} ms`)),
        STEP_TIMEOUT_MS,
      );
      const finish = (how, what) => {
        clearTimeout(timer);
        this.#settle = () => {};
        this.#shell.off('close', closed);
        how(what);
      };
      const closed = (code) => finish(resolve, { output: this.#output, code: code ?? 128 });
      this.#shell.once('close', closed);
      this.#settle = (error) => {
        if (error) return finish(reject, new Refusal(`the tour needs bash: ${error.message}`));
        const end = this.#output.indexOf(`${this.#mark}\n`);
        if (end < 0) return;
        const output = this.#output.slice(0, end);
        this.#output = this.#output.slice(end + this.#mark.length + 1);
        finish(resolve, { output, code: 0 });
      };
      const quoted = `'${command.replaceAll("'", `'\\''`)}'`;
      this.#shell.stdin.write(`eval ${quoted} < /dev/null 2>&1\nprintf '%s\\n' ${this.#mark}\n`);
    });
  }

  end() {
    this.#shell.kill();
  }
}

await runScript(tour);
