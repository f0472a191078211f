import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { eventually, http, startSystem, type Client, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;
let verifier: Client;

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
  verifier = http(system.verifier.baseUrl, system.adminKey);
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const codeAt = async (client: Client, key: string): Promise<string> =>
  (await client.post('/v1/verify', { key })).body.code;

describe('a report by somebody authorised', () => {
  it('ends in a refused key when it is answered, and every step stands in the events in its order', async () => {
    const id = await desk.keyspace();
    const { key, keyId, secretId } = await desk.issue(id);
    const { status, body, headers } = await desk.admin.post('/v1/leaks', { key, url: 'https://pastebin.example/1' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      state: 'open',
      source: 'report',
      url: 'https://pastebin.example/1',
      key: { keyId, secretId, keyspaceId: id, response: 'revoke' },
      action: { action: 'revoked', keyRevision: 1 },
      effective: true,
    });
    expect(headers.get('location')).toBe(`/v1/leaks/${body.leakId}`);
    expect(await codeAt(verifier, key)).toBe('REVOKED');
    expect(await desk.events(`leak-${body.leakId}`)).toEqual(['LeakReported', 'LeakMatched', 'LeakActionTaken']);
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyLeakReported', 'KeyRevoked']);
    const { times, reportedAt, key: found, action } = body;
    expect([reportedAt, found.matchedAt, action.takenAt].toSorted()).toEqual([
      reportedAt,
      found.matchedAt,
      action.takenAt,
    ]);
    expect(times.actedAfterMs).toBeGreaterThanOrEqual(times.matchedAfterMs);
    expect((await desk.admin.get(`/v1/leaks/${body.leakId}`)).body).toEqual(
      (({ effective: _, ...rest }) => rest)(body),
    );
  });

  it('a hundred times at once is one incident and one action', async () => {
    const { key, keyId } = await desk.issue(await desk.keyspace());
    const report = { key, url: 'https://pastebin.example/hundred' };
    const answers = await Promise.all(Array.from({ length: 100 }, () => desk.admin.post('/v1/leaks', report)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.leakId)).size).toBe(1);
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyLeakReported', 'KeyRevoked']);
    const [{ body }] = answers as [(typeof answers)[0]];
    expect(await desk.events(`leak-${body.leakId}`)).toEqual(['LeakReported', 'LeakMatched', 'LeakActionTaken']);
  });

  it('by the SHA-256 finds issued and imported keys where there is no pepper, as hex or base64url', async () => {
    const id = await desk.keyspace();
    const { key } = await desk.issue(id);
    const { body } = await desk.admin.post('/v1/leaks', { sha256: sha256(key) });
    expect(body.action.action).toBe('revoked');
    const foreign = `old_${randomBytes(20).toString('hex')}`;
    const { environment, name, owner, scopes } = requestFor(id);
    const item = { sha256: sha256(foreign), environment, name, owner, scopes };
    await desk.admin.post('/v1/keys/import', { keyspaceId: id, keys: [item] });
    const digest = createHash('sha256').update(foreign).digest('base64url');
    const imported = await desk.admin.post('/v1/leaks', { sha256: digest, source: 'scan' });
    expect(imported.body).toMatchObject({ source: 'scan', action: { action: 'revoked' } });
    expect(await codeAt(verifier, foreign)).toBe('REVOKED');
  });

  it('of a text that is no key of ours is kept as unmatched', async () => {
    const { body } = await desk.admin.post('/v1/leaks', { key: randomBytes(20).toString('hex'), comment: 'on a wall' });
    expect(body).toMatchObject({ state: 'unmatched', comment: 'on a wall', effective: true });
    expect(body).not.toHaveProperty('key');
    const { body: list } = await desk.admin.get('/v1/leaks?state=unmatched&limit=1');
    expect(list.items[0].leakId).toBe(body.leakId);
  });

  it.each([
    [{}, 'key'],
    [{ key: 'a'.repeat(20), sha256: 'a'.repeat(64) }, 'key'],
    [{ sha256: 'zz' }, 'sha256'],
    [{ key: '' }, 'key'],
    [{ key: 'x'.repeat(4097) }, 'key'],
    [{ key: 'abcdefgh', source: 'github' }, 'source'],
    [{ key: 'abcdefgh', url: 'u'.repeat(2049) }, 'url'],
    [{ key: 'abcdefgh', more: 1 }, 'more'],
  ])('that is not valid is refused, naming the field: %j', async (body, field) => {
    const head = await desk.head();
    const answer = await desk.admin.post('/v1/leaks', body);
    expect([answer.status, answer.body.errors[0].field]).toEqual([400, field]);
    expect(await desk.head()).toBe(head);
  });

  it('needs leaks:report; bound to a keyspace it counts by hash there only, and shows no other key', async () => {
    const [own, other] = [await desk.keyspace(), await desk.keyspace()];
    expect((await desk.as(await desk.credential('leaks:read')).post('/v1/leaks', { key: 'abcdefgh' })).status).toBe(
      403,
    );
    expect((await http(system.api.baseUrl).post('/v1/leaks', { key: 'abcdefgh' })).status).toBe(401);
    const reporter = desk.as(await desk.credential(`leaks:report@${own}`, `leaks:read@${own}`));
    const [mine, theirs] = [await desk.issue(own), await desk.issue(other)];
    expect((await reporter.post('/v1/leaks', { sha256: sha256(theirs.key) })).body.state).toBe('unmatched');
    expect(await desk.verdict(theirs.key)).toBe('VALID');
    expect((await reporter.post('/v1/leaks', { sha256: sha256(mine.key) })).body.state).toBe('open');
    const { body } = await reporter.post('/v1/leaks', { key: theirs.key });
    expect(body).toMatchObject({ state: 'unmatched' });
    expect(body).not.toHaveProperty('key');
    expect(await desk.verdict(theirs.key)).toBe('REVOKED');
    expect((await reporter.get(`/v1/leaks/${body.leakId}`)).status).toBe(404);
    expect((await reporter.get(`/v1/leaks?keyspaceId=${other}`)).status).toBe(404);
    const { items } = (await reporter.get('/v1/leaks')).body;
    expect(items.map(({ key }: { key: { keyId: string } }) => key.keyId)).toEqual([mine.keyId]);
  });
});

describe('the response', () => {
  it('follows the policy for the class of key: suspend, alert, rotate with a grace', async () => {
    const id = await desk.keyspace({
      leaks: [
        { environment: 'test', response: 'alert' },
        { kind: 'publishable', response: 'suspend' },
        { response: 'rotate:PT1H' },
      ],
    });
    const report = async (more: object) => {
      const key = await desk.issue(id, more);
      const { body } = await desk.admin.post('/v1/leaks', { key: key.key });
      return { ...key, action: body.action.action, code: await codeAt(verifier, key.key) };
    };
    expect(await report({ environment: 'test' })).toMatchObject({ action: 'alerted', code: 'VALID' });
    const restrictions = { origins: ['https://shop.example'] };
    expect(await report({ kind: 'publishable', restrictions })).toMatchObject({ action: 'suspended' });
    const rotating = await report({});
    expect(rotating).toMatchObject({ action: 'ends-soon', code: 'VALID' });
    const { body: shown } = await desk.admin.get(`/v1/keys/${rotating.keyId}`);
    expect(Date.parse(shown.secrets[0].graceEndsAt)).toBeLessThanOrEqual(Date.now() + 3_600_000);
    const { body: rotated } = await desk.admin.post(`/v1/keys/${rotating.keyId}/rotate`, {});
    expect(rotated.previous.graceEndsAt).toBe(shown.secrets[0].graceEndsAt);
  });

  it('never revokes a publishable key by a report alone, and does nothing to a key that is over, saying why', async () => {
    const id = await desk.keyspace();
    const restrictions = { origins: ['https://shop.example'] };
    const open = await desk.issue(id, { kind: 'publishable', restrictions });
    expect((await desk.admin.post('/v1/leaks', { key: open.key })).body.action.action).toBe('alerted');
    const { key, keyId } = await desk.issue(id);
    await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'closed' });
    const { body } = await desk.admin.post('/v1/leaks', { key });
    expect(body.action).toMatchObject({ action: 'none', because: 'revoked' });
  });

  it('keeps the finder from rotating the key to himself until somebody has resolved it; revoking is allowed', async () => {
    const id = await desk.keyspace({ selfRotate: true, selfRevoke: true, leaks: [{ response: 'alert' }] });
    const { key } = await desk.issue(id);
    const { body: leak } = await desk.admin.post('/v1/leaks', { key });
    const refused = await desk.as(key).post('/v1/keys/self/rotate', {});
    expect([refused.status, refused.body.code]).toEqual([403, 'NOT_ALLOWED']);
    expect(refused.body.detail).toContain(leak.leakId);
    await desk.admin.post(`/v1/leaks/${leak.leakId}/resolve`, { resolution: 'false-positive' });
    expect((await desk.as(key).post('/v1/keys/self/rotate', {})).status).toBe(200);
    const { key: second } = await desk.issue(id);
    await desk.admin.post('/v1/leaks', { key: second });
    expect((await desk.as(second).post('/v1/keys/self/revoke', { reason: 'leaked' })).status).toBe(200);
  });
});

describe('incidents', () => {
  it('are resolved once, in one way, and listed by keyspace, state and source in pages, newest first', async () => {
    const id = await desk.keyspace();
    const ids: string[] = [];
    for (const url of ['a', 'b', 'c']) {
      const { key } = await desk.issue(id);
      ids.push((await desk.admin.post('/v1/leaks', { key, url, source: url === 'b' ? 'scan' : 'report' })).body.leakId);
    }
    const [first = '', second] = ids;
    const resolve = (body: object) => desk.admin.post(`/v1/leaks/${first}/resolve`, body);
    expect(await resolve({ resolution: 'handled', comment: 'rotated' })).toMatchObject({
      status: 200,
      body: { state: 'resolved', resolution: { resolution: 'handled', comment: 'rotated' }, effective: true },
    });
    expect((await resolve({ resolution: 'handled' })).status).toBe(200);
    expect((await resolve({ resolution: 'duplicate' })).status).toBe(409);
    expect((await resolve({ resolution: 'gone' })).body.errors[0].field).toBe('resolution');
    expect((await desk.admin.post('/v1/leaks/nosuch/resolve', { resolution: 'handled' })).status).toBe(404);
    const list = async (query: string): Promise<string[]> => {
      const { body } = await desk.admin.get(`/v1/leaks?keyspaceId=${id}&${query}`);
      return body.items.map(({ leakId }: { leakId: string }) => leakId);
    };
    expect(await list('')).toEqual(ids.toReversed());
    expect(await list('state=open')).toEqual(ids.slice(1).toReversed());
    expect(await list('state=resolved')).toEqual([first]);
    expect(await list('source=scan')).toEqual([second]);
    const page = await desk.admin.get(`/v1/leaks?keyspaceId=${id}&limit=2`);
    expect(await list(`limit=2&cursor=${page.body.nextCursor}`)).toEqual([first]);
    expect((await desk.admin.get('/v1/leaks?cursor=nonsense')).status).toBe(400);
    expect((await desk.admin.get('/v1/leaks?state=closed')).body.errors[0].field).toBe('state');
    expect(await desk.events(`leak-${first}`)).toHaveLength(4);
  });
});

describe('"I found this key"', () => {
  const find = (body: object) => http(system.api.baseUrl).post('/v1/leaks/found', body);

  it('has one answer for every text, and acts on those that are keys', async () => {
    const { key, keyId } = await desk.issue(await desk.keyspace());
    const dead = await desk.issue(await desk.keyspace());
    await desk.admin.post(`/v1/keys/${dead.keyId}/revoke`, { reason: 'closed' });
    const broken = `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`;
    const answers = await Promise.all(
      [key, dead.key, broken, 'x', randomBytes(20).toString('hex')].map((text) => find({ key: text })),
    );
    for (const { status, body, headers } of answers) {
      expect([status, body]).toEqual([202, { status: 'accepted' }]);
      const names = [...headers.keys()].filter((name) => !['date', 'x-request-id'].includes(name));
      expect(names.toSorted()).toEqual(['cache-control', 'connection', 'content-length', 'content-type', 'keep-alive']);
    }
    await eventually('the key is refused', async () => (await codeAt(verifier, key)) === 'REVOKED');
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyLeakReported', 'KeyRevoked']);
    const { body } = await desk.admin.get('/v1/leaks?source=found');
    expect(body.items.filter(({ state }: { state: string }) => state === 'unmatched')).toEqual([]);
  });

  it('is refused beyond ten a minute from one address, with the time to wait', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => find({ key: 'x' })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(refused[0]?.body.code).toBe('RATE_LIMITED');
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await find({})).body.errors[0].field).toBe('key');
  });
});

describe('a decoy', () => {
  it('verifies as a key that nobody has, to the byte, and raises one incident for a flood', async () => {
    const id = await desk.keyspace();
    const { key, keyId, decoy, secretId } = await desk.issue(id, { decoy: true });
    expect(decoy).toBe(true);
    expect((await desk.admin.get(`/v1/keys/${keyId}`)).body.decoy).toBe(true);
    const raw = async (path: string, init: RequestInit): Promise<unknown> => {
      const response = await fetch(system.verifier.baseUrl + path, init);
      const headers = [...response.headers].filter(([name]) => !['date', 'x-request-id'].includes(name));
      return { status: response.status, headers, text: await response.text() };
    };
    const unknown = key.replace(/_[0-9A-Za-z]{49}$/, `_${'0'.repeat(49)}`);
    const verify = (text: string) =>
      raw('/v1/verify', {
        method: 'POST',
        headers: { authorization: `Bearer ${system.adminKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ key: text, clientIp: '203.0.113.7' }),
      });
    const authorize = (text: string) => raw('/v1/authorize', { headers: { authorization: `Bearer ${text}` } });
    for (let n = 0; n < 20; n++) expect(await verify(key)).toEqual(await verify(unknown));
    expect(await authorize(key)).toEqual(await authorize(unknown));
    expect((await desk.as(key).get('/v1/keys')).body).toEqual((await desk.as(unknown).get('/v1/keys')).body);
    const incidents = await eventually('both addresses have an incident that is dealt with', async () => {
      const { body } = await desk.admin.get(`/v1/leaks?keyspaceId=${id}&source=honeykey`);
      return body.items.length >= 2 && body.items.every((one: { action?: object }) => one.action) && body.items;
    });
    const from = incidents.map(({ presentedFrom }: { presentedFrom: { address: string } }) => presentedFrom.address);
    expect(from.toSorted()).toEqual(['127.0.0.1', '203.0.113.7']);
    const service = incidents.find((one: { presentedFrom: { service?: string } }) => one.presentedFrom.service);
    expect(service).toMatchObject({ key: { keyId, secretId, response: 'alert' }, action: { action: 'alerted' } });
    expect(service.presentedFrom.userAgent).toMatch(/node|undici/i);
    expect(await codeAt(verifier, key)).toBe('NOT_FOUND');
  });
});
