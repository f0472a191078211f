import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, startEventStore, startSystem, type System } from '../support/index.js';

const WHOLE_KEY = /[a-z0-9]+_(live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}/;

let system: System, folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyledger-cli-'));
  system = await startSystem();
  expect(await keyledger('keyspaces', 'create', 'acme', '--name', 'Acme')).toMatchObject({ code: 0 });
}, 120_000);
afterAll(async () => {
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  code: number;
  out: string;
  err: string;
}

function keyledger(...args: string[]): Promise<Outcome> {
  return run(args);
}

async function run(args: string[], { env = {}, stdin = '' }: { env?: object; stdin?: string } = {}): Promise<Outcome> {
  const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args], {
    env: { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey, ...env },
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  child.stdin.end(stdin);
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

const path = (name: string): string => join(folder, name);
const ISSUE = 'keys issue --keyspace acme --environment live --scopes payments:read --owner app-7'.split(' ');

async function issue(name: string, ...more: string[]): Promise<{ keyId: string; file: string; outcome: Outcome }> {
  const file = path(`${name}.key`);
  const outcome = await keyledger(...ISSUE, '--name', name, '--secret-file', file, '--json', ...more);
  return { keyId: JSON.parse(outcome.out || '{}').keyId, file, outcome };
}

describe('a secret', () => {
  it('goes to its file, for its owner only, and nowhere else', async () => {
    const { file, outcome } = await issue('only-here');
    expect(outcome.code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toMatch(WHOLE_KEY);
    expect(outcome.out + outcome.err).not.toMatch(WHOLE_KEY);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
  });

  it('stands on standard output when that is asked for', async () => {
    const { code, out } = await keyledger(...ISSUE, '--name', 'shown', '--show-secret', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).key).toMatch(WHOLE_KEY);
    const text = await keyledger(...ISSUE, '--name', 'shown too', '--show-secret');
    expect(text.out).toMatch(WHOLE_KEY);
  });

  it('comes again under the same Idempotency-Key, and makes no second key', async () => {
    const first = await issue('repeated', '--idempotency-key', 'one-intent');
    const file = path('again.key');
    const again = await keyledger(
      ...ISSUE,
      '--name',
      'repeated',
      '--secret-file',
      file,
      '--json',
      '--idempotency-key',
      'one-intent',
    );
    expect(JSON.parse(again.out).keyId).toBe(first.keyId);
    expect(readFileSync(file, 'utf8')).toBe(readFileSync(first.file, 'utf8'));
  });

  it('of a refused request leaves no file behind', async () => {
    const { file, outcome } = await issue('too-long', '--lifetime', 'P3000D');
    expect(outcome.code).toBe(1);
    expect(JSON.parse(outcome.err)).toMatchObject({ code: 'POLICY', errors: [{ field: 'lifetime' }] });
    expect(existsSync(file)).toBe(false);
  });
});

describe('a secret that cannot be given', () => {
  const NAMED = /^The secret of key (\S+), which is made, .* --idempotency-key (\S+) gives it again\.$/m;

  it.each([
    ['a full disk', async () => openSync('/dev/full', 'w')],
    ['a pipe that nobody reads', async () => 'pipe' as const],
  ])('to %s is not lost: its key is named, and how to have it all the same', async (_, opened) => {
    const stdout = await opened();
    const command = [...ISSUE, '--name', 'not lost'];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...command, '--show-secret'], {
      env: { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey },
      stdio: ['ignore', stdout, 'pipe'],
    });
    child.stdout?.destroy();
    let err = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => (err += text));
    const [code] = (await once(child, 'close')) as [number];
    if (typeof stdout === 'number') closeSync(stdout);
    expect(code).toBe(1);
    const [, keyId = '', idempotencyKey = ''] = NAMED.exec(err) ?? [];
    const again = await keyledger(...command, '--show-secret', '--json', '--idempotency-key', idempotencyKey);
    expect(JSON.parse(again.out)).toMatchObject({ keyId, key: expect.stringMatching(WHOLE_KEY) });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('because %s came first is told by its Idempotency-Key, and leaves no file', async (signal, expected) => {
    const into = path(signal);
    mkdirSync(into);
    const asked: string[] = [];
    const silent = createServer((request) => {
      asked.push(String(request.headers['idempotency-key']));
      child.kill(signal);
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const command = [...ISSUE, '--name', 'interrupted', '--secret-file', join(into, 'c.key')];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...command], {
      env: { ...process.env, KEYLEDGER_URL: url, KEYLEDGER_KEY: system.adminKey },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    const [code] = (await once(child, 'close')) as [number];
    silent.close();
    expect(code).toBe(expected);
    expect(asked).toHaveLength(1);
    expect(err).toContain(`The same command with --idempotency-key ${asked[0]} does not do it twice.`);
    expect(readdirSync(into)).toEqual([]);
  });
});

describe('a key over its life', () => {
  it('is verified, rotated, suspended, reinstated and revoked, and each is seen at once', async () => {
    const { keyId, file } = await issue('lifelong');
    const verdict = async (secret: string, ...more: string[]): Promise<[number, string]> => {
      const { code, out } = await keyledger('verify', '--secret-file', secret, '--json', ...more);
      return [code, JSON.parse(out).code];
    };
    expect(await verdict(file, '--scopes', 'payments:read')).toEqual([0, 'VALID']);
    expect(await verdict(file, '--scopes', 'payments:write')).toEqual([4, 'INSUFFICIENT_SCOPE']);

    const newer = path('lifelong.new.key');
    expect((await keyledger('keys', 'rotate', keyId, '--grace', 'PT1H', '--secret-file', newer)).code).toBe(0);
    expect([await verdict(file), await verdict(newer)]).toEqual([
      [0, 'VALID'],
      [0, 'VALID'],
    ]);
    expect((await keyledger('keys', 'suspend', keyId, '--reason', 'odd')).code).toBe(0);
    expect(await verdict(newer)).toEqual([4, 'SUSPENDED']);
    expect((await keyledger('keys', 'reinstate', keyId, '--reason', 'fine')).code).toBe(0);
    expect(await verdict(newer)).toEqual([0, 'VALID']);
    expect((await keyledger('keys', 'revoke', keyId, '--reason', 'leaked')).code).toBe(0);
    expect([await verdict(file), await verdict(newer)]).toEqual([
      [4, 'REVOKED'],
      [4, 'REVOKED'],
    ]);
    expect((await keyledger('keys', 'rotate', keyId, '--show-secret')).code).toBe(1);
  });

  it('is changed only at the revision that the caller saw', async () => {
    const { keyId } = await issue('revised');
    const rename = (name: string, revision: string): Promise<Outcome> =>
      keyledger('keys', 'update', keyId, '--name', name, '--if-match', revision, '--json');
    expect(await rename('first', '0')).toMatchObject({ code: 0 });
    const late = await rename('second', '0');
    expect(late.code).toBe(1);
    expect(JSON.parse(late.err).code).toBe('PRECONDITION_FAILED');
    expect(JSON.parse((await keyledger('keys', 'show', keyId, '--json')).out).name).toBe('first');
  });
});

describe('a leak', () => {
  it('is reported, listed, shown and resolved, and the key is refused', async () => {
    const { keyId, file } = await issue('leaky');
    const reported = await keyledger(
      'leaks',
      'report',
      '--secret-file',
      file,
      '--where',
      'https://a.example',
      '--json',
    );
    expect(reported).toMatchObject({ code: 0, err: '' });
    const { leakId, action } = JSON.parse(reported.out);
    expect(action.action).toBe('revoked');
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(4);
    const list = await keyledger('leaks', 'list', '--keyspace', 'acme', '--state', 'open');
    expect(list.out).toContain(leakId);
    expect(list.out).toContain(keyId);
    expect(reported.out + list.out).not.toMatch(WHOLE_KEY);
    expect((await keyledger('leaks', 'resolve', leakId)).code).toBe(2);
    expect((await keyledger('leaks', 'resolve', leakId, '--as', 'handled', '--comment', 'gone')).code).toBe(0);
    expect((await keyledger('leaks', 'show', leakId)).out).toMatch(/resolved +handled at/);
    expect((await run(['leaks', 'report'], { stdin: '' })).code).toBe(2);
  });

  it('is looked for with rules for scanners, and baited with a decoy', async () => {
    const rules = await keyledger('keyspaces', 'scanner-rules', 'acme', '--format', 'gitleaks');
    expect(rules).toMatchObject({ code: 0, out: expect.stringContaining("regex = '''") });
    const nowhere = await keyledger('keyspaces', 'scanner-rules', 'nowhere', '--format', 'gitleaks');
    expect(nowhere).toMatchObject({ code: 1, out: '' });
    const { outcome, file } = await issue('bait', '--decoy');
    expect(JSON.parse(outcome.out).decoy).toBe(true);
    expect((await keyledger('verify', '--secret-file', file)).out).toContain('NOT_FOUND');
  });
});

describe('a new secret of a key that was found somewhere', () => {
  it('waits for its owner, who picks it up with his private key, once, and into his file only', async () => {
    const [jwk, publicJwk, file] = [path('receiver.jwk'), path('receiver.public.jwk'), path('picked-up.key')];
    const made = await keyledger('receivers', 'keygen', '--private-key', jwk);
    expect(made.code).toBe(0);
    writeFileSync(publicJwk, made.out);
    const receiver = ['--type', 'receiver', '--owner', 'app-8', '--public-key', publicJwk, '--via', 'pickup'];
    expect(await keyledger('channels', 'create', ...receiver)).toMatchObject({ code: 0 });
    const rule = ['--leak-response', 'rotate:PT5M'];
    expect(await keyledger('keyspaces', 'create', 'turning', '--name', 'T', ...rule)).toMatchObject({ code: 0 });
    const old = path('turning.key');
    const issued = await keyledger(
      ...['keys', 'issue', '--keyspace', 'turning', '--environment', 'live', '--scopes', 'a:b', '--owner', 'app-8'],
      ...['--name', 'turning', '--secret-file', old, '--json'],
    );
    const { keyId } = JSON.parse(issued.out);
    expect((await keyledger('leaks', 'report', '--secret-file', old)).code).toBe(0);
    const waiting = await eventually('it waits', async () => {
      const { items } = JSON.parse((await keyledger('deliveries', 'list', keyId, '--json')).out);
      return items[0] ?? false;
    });
    expect(waiting).toMatchObject({ state: 'open', via: 'pickup' });
    const pickup = ['deliveries', 'pickup', waiting.deliveryId, '--private-key', jwk];
    const nowhere = await keyledger(...pickup);
    expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('--secret-file') });
    writeFileSync(path('no.jwk'), made.out);
    const without = await keyledger(...pickup.slice(0, 4), path('no.jwk'), '--secret-file', file);
    expect(without).toMatchObject({ code: 2, err: expect.stringContaining('"d"') });
    expect(existsSync(file)).toBe(false);

    const picked = await keyledger(...pickup, '--secret-file', file);
    expect(picked).toMatchObject({ code: 0, out: expect.stringContaining(waiting.secretId) });
    expect(picked.out + picked.err).not.toMatch(WHOLE_KEY);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
    const again = await keyledger(...pickup, '--secret-file', path('second.key'));
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('GONE') });
    expect(existsSync(path('second.key'))).toBe(false);
  });

  it('that was picked up with the wrong private key is not lost: the right one opens it later', async () => {
    const wrong = path('wrong.jwk');
    await keyledger('receivers', 'keygen', '--private-key', wrong);
    const old = path('turning.2.key');
    const issued = await keyledger(
      ...['keys', 'issue', '--keyspace', 'turning', '--environment', 'live', '--scopes', 'a:b', '--owner', 'app-8'],
      ...['--name', 'turning', '--secret-file', old, '--json'],
    );
    const { keyId } = JSON.parse(issued.out);
    expect((await keyledger('leaks', 'report', '--secret-file', old)).code).toBe(0);
    const { deliveryId } = await eventually('it waits', async () => {
      const { items } = JSON.parse((await keyledger('deliveries', 'list', keyId, '--json')).out);
      return items[0] ?? false;
    });
    const file = path('opened.key');
    const pickup = ['deliveries', 'pickup', deliveryId, '--secret-file', file];
    // Whoever found the old secret holds it too.
    const asFinder = await keyledger(...pickup, '--key-file', old, '--private-key', path('receiver.jwk'));
    expect(asFinder).toMatchObject({ code: 1, err: expect.stringContaining('NOT_ALLOWED') });
    const failed = await keyledger(...pickup, '--private-key', wrong);
    expect(failed).toMatchObject({ code: 1, out: '', err: expect.stringContaining('keyledger deliveries open') });
    const [jwe] = /^eyJ\S+$/m.exec(failed.err) ?? [''];
    writeFileSync(path('delivery.jwe'), `${jwe}\n`);
    const open = ['deliveries', 'open', path('delivery.jwe'), '--secret-file', file];
    expect(await keyledger(...open, '--private-key', wrong)).toMatchObject({ code: 1 });
    expect(existsSync(file)).toBe(false);
    const opened = await keyledger(...open, '--private-key', path('receiver.jwk'));
    expect(opened).toMatchObject({ code: 0, out: expect.stringContaining(keyId) });
    expect(opened.out + opened.err).not.toMatch(WHOLE_KEY);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
  });
});

describe('many keys', () => {
  const foreign = Array.from({ length: 5 }, () => `old_${randomBytes(24).toString('hex')}`);
  const items = foreign.map((key, index) => ({
    sha256: createHash('sha256').update(key).digest('hex'),
    environment: index === 3 ? 'nowhere' : 'live',
    name: `old ${index}`,
    owner: { id: 'old-app', type: 'application' },
    scopes: [],
  }));

  it('are imported from a file, those that are refused named by their place, the others verified', async () => {
    const file = path('old.ndjson');
    writeFileSync(file, items.map((item) => JSON.stringify(item)).join('\n'));
    const imported = await keyledger('keys', 'import', file, '--keyspace', 'acme');
    expect(imported.code).toBe(1);
    expect(imported.out).toMatch(/^item 4: .*environment/m);
    expect(imported.out).toContain('4 imported, 1 rejected');
    expect((await run(['verify'], { stdin: foreign[0] ?? '' })).code).toBe(0);
    expect((await run(['verify'], { stdin: foreign[3] ?? '' })).code).toBe(4);
  });

  it('are listed to the last over all pages, one a line for programs', async () => {
    const all = await keyledger(
      'keys',
      'list',
      '--keyspace',
      'acme',
      '--owner',
      'old-app',
      '--all',
      '--limit',
      '2',
      '--json',
    );
    const names = all.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).name);
    expect(names.sort()).toEqual(['old 0', 'old 1', 'old 2', 'old 4']);
  });

  it('are revoked by their owner in one command, which has to be meant', async () => {
    const command = ['keys', 'revoke-many', '--owner', 'old-app', '--reason', 'offboarding'];
    expect((await keyledger(...command)).code).toBe(2);
    const revoked = await keyledger(...command, '--yes');
    expect(revoked).toMatchObject({ code: 0, out: '4 revoked, 0 not\n' });
    expect((await run(['verify'], { stdin: foreign[0] ?? '' })).code).toBe(4);
  });
});

describe('the server', () => {
  it('is asked with the key of a file, and a key that is not good is refused with exit code 1', async () => {
    writeFileSync(path('admin.key'), `${system.adminKey}\n`);
    const env = { KEYLEDGER_KEY: '' };
    expect((await run(['keyspaces', 'list', '--key-file', path('admin.key')], { env })).code).toBe(0);
    const refused = await run(['keyspaces', 'list'], { env: { KEYLEDGER_KEY: 'x'.repeat(40) } });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('INVALID_TOKEN');
    expect(refused.err).not.toContain('xxxx');
  });

  it('says how it is, rebuilds its read model and finds it equal', async () => {
    const status = await keyledger('system', 'status', '--json');
    expect(JSON.parse(status.out)).toMatchObject({ eventStore: { reachable: true }, redis: { reachable: true } });
    const rebuilt = await keyledger('system', 'rebuild', '--wait', '--json');
    expect(rebuilt.code).toBe(0);
    expect(JSON.parse(rebuilt.out)).toMatchObject({ cause: 'request', equal: true, differingCount: 0 });
  }, 60_000);

  it('copies its event store to a folder that another event store serves, and to no folder with something in it', async () => {
    const target = path('backup');
    const backup = await keyledger('system', 'backup', target, '--json');
    expect(backup.code).toBe(0);
    expect(JSON.parse(backup.out)).toMatchObject({ folder: target });
    expect((await keyledger('system', 'backup', target)).code).toBe(1);
    const copy = await startEventStore({ folder: target });
    await copy.stop();
  }, 60_000);
});

describe('what an auditor does', () => {
  it('asks what happened, how a key was, who could do something, what changed, and why a key was refused', async () => {
    await keyledger('keyspaces', 'create', 'past', '--name', 'Past');
    const { keyId, file } = await issue('of-old', '--keyspace', 'past');
    const json = async (...args: string[]) => JSON.parse((await keyledger('audit', ...args, '--json')).out);
    const [issued] = (await json('events', '--key', keyId)).items;
    expect((await keyledger('keys', 'suspend', keyId, '--reason', 'odd traffic')).code).toBe(0);
    const [suspended] = (await json('events', '--key', keyId, '--type', 'KeySuspended')).items;

    const events = await keyledger('audit', 'events', '--keyspace', 'past', '--order', 'oldest');
    expect(events.out).toMatch(/KeyspaceCreated.*KeyIssued.*KeySuspended.*odd traffic/s);
    const csv = await keyledger('audit', 'events', '--key', keyId, '--format', 'csv');
    expect(csv.out.trim().split('\r\n')).toHaveLength(3);
    expect((await keyledger('audit', 'tail', '--key', keyId, '--after', issued.position)).out).toContain(suspended.id);

    const was = await keyledger('audit', 'key', keyId, '--position', issued.position);
    expect(was.out).toMatch(/verdict +VALID\n(.*\n)*state +active/);
    expect((await keyledger('audit', 'key', keyId)).out).toMatch(/verdict +SUSPENDED/);
    const could = ['state', '--scope', 'payments:read', '--state', 'active', '--keyspace', 'past'];
    expect((await json(...could, '--position', issued.position)).items).toMatchObject([{ keyId }]);
    expect((await json(...could)).items).toEqual([]);

    const range = ['--from', issued.recordedAt, '--to', new Date(Date.now() - 1).toISOString()];
    const diff = await keyledger('audit', 'diff', ...range, '--keyspace', 'past');
    expect(diff.out).toMatch(new RegExp(`${keyId} +active +suspended +state.* KeySuspended`));
    const why = await keyledger('audit', 'explain', '--secret-file', file);
    expect(why.out).toMatch(/verdict +SUSPENDED\n(.*\n)*decided by +KeySuspended at position (.*\n)*why +odd traffic/);
    expect(await keyledger('audit', 'explain')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--secret-file'),
    });
    const late = await keyledger('audit', 'key', keyId, '--position', '99999999');
    expect(late).toMatchObject({ code: 1, err: expect.stringContaining('position') });
  });

  it('prints a report, as a table, to a file, and says which there are', async () => {
    const { keyId } = await issue('on-the-list');
    expect((await keyledger('audit', 'reports')).out).toMatch(/^scope-holders /m);
    const shown = await keyledger('audit', 'report', 'inventory', '--keyspace', 'acme');
    expect(shown).toMatchObject({ code: 0, err: expect.stringMatching(/^Inventory of keys as of .* lines?\n$/) });
    expect(shown.out).toMatch(new RegExp(`^${keyId} .*on-the-list`, 'm'));
    const file = path('holders.csv');
    expect((await keyledger('audit', 'report', 'scope-holders', '--out', file)).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(new RegExp(`^scope,keyId.*\r\npayments:read,${keyId}`, 's'));
    const unknown = await keyledger('audit', 'report', 'nonsense');
    expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('name is no report: one of inventory') });
  });

  it('reviews access: starts, attests, looks at what is outstanding, and closes', async () => {
    await keyledger('keyspaces', 'create', 'revw', '--name', 'Reviewed');
    const first = await issue('needed', '--keyspace', 'revw');
    const second = await issue('leftover', '--keyspace', 'revw');
    const review = 'reviews start --name Q1 --keyspace revw --due 2099-01-01T00:00:00Z --json'.split(' ');
    const { reviewId } = JSON.parse((await keyledger(...review)).out);
    expect((await keyledger('reviews', 'attest', reviewId, first.keyId, 'keep', '--comment', 'needed')).code).toBe(0);
    const open = await keyledger('reviews', 'show', reviewId, '--decision', 'outstanding');
    expect(open.out).toMatch(/keys +2: keep 1, narrow 0, revoke 0, outstanding 1/);
    expect([open.out.includes(first.keyId), open.out.includes(second.keyId)]).toEqual([false, true]);
    expect((await keyledger('reviews', 'attest', reviewId, second.keyId, 'revoke')).out).toMatch(/effective +yes/);
    expect((await keyledger('verify', '--secret-file', second.file, '--json')).code).toBe(4);
    expect((await keyledger('reviews', 'close', reviewId)).out).toMatch(/status +closed/);
    expect((await keyledger('reviews', 'list', '--status', 'closed')).out).toContain(reviewId);
    expect((await keyledger('reviews', 'attest', reviewId, first.keyId, 'perhaps')).code).toBe(2);
  });
});

describe('output that nobody reads to its end', () => {
  it.each([
    ['keys', 'issue', '--help'],
    ['keyspaces', 'list'],
  ])('ends the command as a closed pipe ends any program: keyledger %s %s', async (...args) => {
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args], {
      env: { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey },
    });
    child.stdout.destroy();
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.stdin.end();
    const [code] = (await once(child, 'close')) as [number];
    expect({ code, err }).toEqual({ code: 141, err: '' });
  });
});
