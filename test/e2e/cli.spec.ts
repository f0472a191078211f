import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { startEventStore } from '../support/index.js';
import { CommandLine, WHOLE_KEY, type Outcome } from './cli.harness.js';

let line: CommandLine;
beforeAll(async () => {
  line = await CommandLine.start();
}, 120_000);
afterAll(() => line?.stop());

const keyledger = (...args: string[]) => line.run(args);

describe('a key over its life', () => {
  it('is verified, rotated, suspended, reinstated and revoked, and each is seen at once', async () => {
    const { keyId, file } = await line.issue('lifelong');
    const verdict = async (secret: string, ...more: string[]): Promise<[number, string]> => {
      const { code, out } = await keyledger('verify', '--secret-file', secret, '--json', ...more);
      return [code, JSON.parse(out).code];
    };
    expect(await verdict(file, '--scopes', 'payments:read')).toEqual([0, 'VALID']);
    expect(await verdict(file, '--scopes', 'payments:write')).toEqual([4, 'INSUFFICIENT_SCOPE']);

    const newer = line.path('lifelong.new.key');
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
    const { keyId } = await line.issue('revised');
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
    const { keyId, file } = await line.issue('leaky');
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
    expect((await line.run(['leaks', 'report'], { stdin: '' })).code).toBe(2);
  });

  it('is looked for with rules for scanners, and baited with a decoy', async () => {
    const rules = await keyledger('keyspaces', 'scanner-rules', 'acme', '--format', 'gitleaks');
    expect(rules).toMatchObject({ code: 0, out: expect.stringContaining("regex = '''") });
    const nowhere = await keyledger('keyspaces', 'scanner-rules', 'nowhere', '--format', 'gitleaks');
    expect(nowhere).toMatchObject({ code: 1, out: '' });
    const { outcome, file } = await line.issue('bait', '--decoy');
    expect(JSON.parse(outcome.out).decoy).toBe(true);
    expect((await keyledger('verify', '--secret-file', file)).out).toContain('NOT_FOUND');
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
    const file = line.path('old.ndjson');
    writeFileSync(file, items.map((item) => JSON.stringify(item)).join('\n'));
    const imported = await keyledger('keys', 'import', file, '--keyspace', 'acme');
    expect(imported.code).toBe(1);
    expect(imported.out).toMatch(/^item 4: .*environment/m);
    expect(imported.out).toContain('4 imported, 1 rejected');
    expect((await line.run(['verify'], { stdin: foreign[0] ?? '' })).code).toBe(0);
    expect((await line.run(['verify'], { stdin: foreign[3] ?? '' })).code).toBe(4);
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
      .map((one) => JSON.parse(one).name);
    expect(names.sort()).toEqual(['old 0', 'old 1', 'old 2', 'old 4']);
  });

  it('are revoked by their owner in one command, which has to be meant', async () => {
    const command = ['keys', 'revoke-many', '--owner', 'old-app', '--reason', 'offboarding'];
    expect((await keyledger(...command)).code).toBe(2);
    const revoked = await keyledger(...command, '--yes');
    expect(revoked).toMatchObject({ code: 0, out: '4 revoked, 0 not\n' });
    expect((await line.run(['verify'], { stdin: foreign[0] ?? '' })).code).toBe(4);
  });
});

describe('the server', () => {
  it('is asked with the key of a file, and a key that is not good is refused with exit code 1', async () => {
    writeFileSync(line.path('admin.key'), `${line.system.adminKey}\n`);
    const env = { KEYLEDGER_KEY: '' };
    expect((await line.run(['keyspaces', 'list', '--key-file', line.path('admin.key')], { env })).code).toBe(0);
    const refused = await line.run(['keyspaces', 'list'], { env: { KEYLEDGER_KEY: 'x'.repeat(40) } });
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
    const target = line.path('backup');
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
    const { keyId, file } = await line.issue('of-old', '--keyspace', 'past');
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
    const { keyId } = await line.issue('on-the-list');
    expect((await keyledger('audit', 'reports')).out).toMatch(/^scope-holders /m);
    const shown = await keyledger('audit', 'report', 'inventory', '--keyspace', 'acme');
    expect(shown).toMatchObject({ code: 0, err: expect.stringMatching(/^Inventory of keys as of .* lines?\n$/) });
    expect(shown.out).toMatch(new RegExp(`^${keyId} .*on-the-list`, 'm'));
    const file = line.path('holders.csv');
    expect((await keyledger('audit', 'report', 'scope-holders', '--out', file)).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(new RegExp(`^scope,keyId.*\r\npayments:read,${keyId}`, 's'));
    const unknown = await keyledger('audit', 'report', 'nonsense');
    expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('name is no report: one of inventory') });
  });

  it('reviews access: starts, attests, looks at what is outstanding, and closes', async () => {
    await keyledger('keyspaces', 'create', 'revw', '--name', 'Reviewed');
    const first = await line.issue('needed', '--keyspace', 'revw');
    const second = await line.issue('leftover', '--keyspace', 'revw');
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
      env: line.env,
    });
    child.stdout.destroy();
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.stdin.end();
    const [code] = (await once(child, 'close')) as [number];
    expect({ code, err }).toEqual({ code: 141, err: '' });
  });
});
