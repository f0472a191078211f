import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { plusSeconds } from '@keyledger/contracts';
import { http, startApp, startSystem, type Client, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;
beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
});
afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

const DUE = '2099-01-01T00:00:00.000Z';
const OWNER = { id: 'app_checkout', type: 'application' };
const REPORTS = '/v1/audit/reports';
const REVIEWS = '/v1/audit/reviews';

/** A review over everything in a keyspace. */
async function review(keyspaceId: string, more: object = {}): Promise<string> {
  const started = await desk.admin.post(REVIEWS, { name: 'Q1', filter: { keyspaceId }, dueAt: DUE, ...more });
  expect(started).toMatchObject({ status: 201, body: { status: 'open' } });
  expect(started.headers.get('location')).toBe(`${REVIEWS}/${started.body.reviewId}`);
  return started.body.reviewId;
}

const attest = (client: Client, id: string, body: object, headers = {}) =>
  client.post(`${REVIEWS}/${id}/attest`, body, headers);

describe('a report', () => {
  it('tells of a key as it was at any instant, as JSON, CSV and a page', async () => {
    const acme = await desk.keyspace();
    const { keyId } = await desk.issue(acme, { name: '=HYPERLINK("x")' });
    await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'offboarding', comment: '<b>left</b>' });

    const [revoked] = (await desk.admin.get(`${REPORTS}/revocations?keyspaceId=${acme}`)).body.rows;
    expect(revoked.secondsToEffect).toBeGreaterThanOrEqual(0);
    const before = plusSeconds(revoked.recordedAt, -0.001);
    const json = await desk.admin.get(`${REPORTS}/inventory?keyspaceId=${acme}`);
    expect(json.body).toMatchObject({ report: 'inventory', keyspaces: [acme], count: 1, rows: [{ keyId }] });
    expect(json.body.rows[0]).toMatchObject({ state: 'revoked', ownerId: 'app_checkout', ageDays: 0 });
    const past = await desk.admin.get(`${REPORTS}/inventory?keyspaceId=${acme}&at=${before}`);
    expect(past.body).toMatchObject({ at: before, rows: [{ keyId, state: 'active' }] });

    const csv = await desk.admin.get(`${REPORTS}/inventory?keyspaceId=${acme}&format=csv`);
    expect(csv.headers.get('content-disposition')).toMatch(/^attachment; filename="inventory-\d{4}-\d\d-\d\d\.csv"$/);
    expect(csv.body.text).toContain(`"'=HYPERLINK(""x"")"`);
    const page = await desk.admin.get(`${REPORTS}/revocations?keyspaceId=${acme}`, { accept: 'text/html,*/*;q=0.8' });
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.body.text).toContain('&lt;b&gt;left&lt;/b&gt;');
    const behind = await desk.admin.get(revoked.events);
    expect(behind.body.items).toEqual([expect.objectContaining({ type: 'KeyRevoked', keyId })]);
    const [change] = (await desk.admin.get(`${REPORTS}/changes-by-actor?keyspaceId=${acme}`)).body.rows;
    expect((await desk.admin.get(change.events)).body.items).toHaveLength(change.count);
  });

  it('names people, and counts what one of them did as one', async () => {
    const acme = await desk.keyspace();
    for (const name of ['one', 'two']) {
      const request = { ...requestFor(acme), name, owner: { ...OWNER, contact: { email: 'jane@example.com' } } };
      await desk.admin.post('/v1/keys', request, { 'x-keyledger-on-behalf-of': 'jane' });
    }
    const { rows } = (await desk.admin.get(`${REPORTS}/changes-by-actor?keyspaceId=${acme}`)).body;
    const issued = rows.filter(({ type }: { type: string }) => type === 'KeyIssued');
    expect(issued).toMatchObject([{ onBehalfOf: 'jane', count: 2 }]);
    const id = await review(acme);
    expect((await desk.admin.get(`${REVIEWS}/${id}`)).body.keys[0].owner).toEqual(OWNER);
  });

  it('is on record with who asked for it and what, before it is shown', async () => {
    const acme = await desk.keyspace();
    await desk.admin.get(`${REPORTS}/policies?keyspaceId=${acme}`);
    await desk.admin.get(`${REPORTS}/policies?keyspaceId=${acme}&format=csv`);
    const { items } = (await desk.admin.get('/v1/audit/events?type=AuditTrailRead,AuditTrailExported&limit=2')).body;
    const route = 'GET /v1/audit/reports/:name';
    const filter = { name: 'policies', keyspaceId: acme };
    expect(items).toMatchObject([
      { type: 'AuditTrailExported', data: { route, filter, format: 'csv' } },
      { type: 'AuditTrailRead', data: { route, filter, format: 'json' } },
    ]);
  });

  it('of every name can be made over the whole log, in every format', async () => {
    const { items } = (await desk.admin.get(REPORTS)).body;
    expect(items.length).toBe(10);
    for (const { name } of items) {
      for (const format of ['json', 'csv', 'html']) {
        expect([name, format, (await desk.admin.get(`${REPORTS}/${name}?format=${format}`)).status]).toEqual([
          name,
          format,
          200,
        ]);
      }
    }
  });

  it('reaches the keyspaces of its reader only, and is taken away as CSV with audit:export only', async () => {
    const [mine, theirs] = [await desk.keyspace(), await desk.keyspace()];
    const { keyId } = await desk.issue(mine);
    await desk.issue(theirs);
    const reader = desk.as(await desk.credential(`audit:read@${mine}`));
    const { body } = await reader.get(`${REPORTS}/inventory`);
    expect([body.keyspaces, body.rows.map((row: { keyId: string }) => row.keyId)]).toEqual([[mine], [keyId]]);
    expect((await reader.get(`${REPORTS}/inventory?keyspaceId=${theirs}`)).status).toBe(404);
    expect(await reader.get(`${REPORTS}/inventory?format=csv`)).toMatchObject({
      status: 403,
      body: { code: 'INSUFFICIENT_SCOPE', detail: expect.stringContaining('audit:export') },
    });
    expect((await desk.as(await desk.credential('keys:read')).get(REPORTS)).status).toBe(403);
  });

  it.each([
    ['inventory?at=2099-01-01T00:00:00Z', 400, 'at'],
    ['inventory?from=2020-01-01T00:00:00Z', 400, 'from'],
    ['rotations?from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z', 400, 'to'],
    ['inventory?at=yesterday', 400, 'at'],
    ['inventory?format=xml', 400, 'format'],
    ['nonsense', 404, 'name'],
  ])('asked for as %s is refused with the field that is wrong', async (query, status, field) => {
    const answer = await desk.admin.get(`${REPORTS}/${query}`);
    expect(answer).toMatchObject({ status, body: { errors: [{ field }] } });
  });
});

describe('an access review', () => {
  it('freezes its list, records each decision, revokes what shall go, and shows what is outstanding', async () => {
    const acme = await desk.keyspace();
    const scopes = ['payments:read', 'payments:write'];
    const [kept, narrowed, gone, open] = [
      await desk.issue(acme),
      await desk.issue(acme, { scopes }),
      await desk.issue(acme),
      await desk.issue(acme),
    ];
    const over = await desk.issue(acme);
    await desk.admin.post(`/v1/keys/${over.keyId}/revoke`, { reason: 'other' });
    const id = await review(acme);
    await desk.issue(acme);

    const replacement = await desk.issue(acme);
    await attest(desk.admin, id, { keyId: kept.keyId, decision: 'keep', comment: 'needed' });
    await attest(desk.admin, id, { keyId: narrowed.keyId, decision: 'narrow', scopes: ['payments:read'] });
    const linked = { keyId: narrowed.keyId, decision: 'narrow', scopes: ['payments:read'] };
    await attest(desk.admin, id, { ...linked, replacementKeyId: replacement.keyId });
    const revoked = await attest(desk.admin, id, { keyId: gone.keyId, decision: 'revoke' });
    expect(revoked).toMatchObject({ status: 200, body: { decision: 'revoke', effective: true } });
    expect([await desk.verdict(gone.key), await desk.verdict(narrowed.key)]).toEqual(['REVOKED', 'VALID']);

    const { body } = await desk.admin.get(`${REVIEWS}/${id}`);
    expect(body.counts).toEqual({ keys: 4, keep: 1, narrow: 1, revoke: 1, outstanding: 1 });
    expect(body.keys.map((key: { keyId: string; decision: string }) => [key.keyId, key.decision])).toEqual([
      [kept.keyId, 'keep'],
      [narrowed.keyId, 'narrow'],
      [gone.keyId, 'revoke'],
      [open.keyId, 'outstanding'],
    ]);
    expect(body.keys[1]).toMatchObject({ replacementKeyId: replacement.keyId, attestedAs: 'reviewer' });
    const outstanding = await desk.admin.get(`${REVIEWS}/${id}?decision=outstanding`);
    expect(outstanding.body.keys).toEqual([expect.objectContaining({ keyId: open.keyId })]);

    const closed = await desk.admin.post(`${REVIEWS}/${id}/close`, {});
    expect(closed.body).toMatchObject({ status: 'closed', counts: { outstanding: 1 } });
    expect((await desk.admin.get(`${REVIEWS}?limit=1`)).body.items).toEqual([closed.body]);
    expect((await attest(desk.admin, id, { keyId: open.keyId, decision: 'keep' })).body.code).toBe('REVIEW_CLOSED');

    const { rows } = (await desk.admin.get(`${REPORTS}/access-review?keyspaceId=${acme}`)).body;
    expect(rows.map((row: Record<string, string>) => [row.keyId, row.decision, row.keyState])).toEqual([
      [kept.keyId, 'keep', 'active'],
      [narrowed.keyId, 'narrow', 'active'],
      [gone.keyId, 'revoke', 'revoked'],
      [open.keyId, 'outstanding', 'active'],
    ]);
    expect(await desk.events(`review-${id}`)).toEqual([
      'AccessReviewStarted',
      'AccessReviewScoped',
      'AccessAttested',
      'AccessAttested',
      'AccessAttested',
      'AccessAttested',
      'AccessReviewClosed',
    ]);
    expect(await desk.events(`key-${gone.keyId}`)).toEqual(['KeyIssued', 'KeyRevoked']);
  });

  it('that broke off between the revocation and its record is finished by the same request', async () => {
    const acme = await desk.keyspace();
    const { keyId } = await desk.issue(acme);
    const id = await review(acme);
    // What such a break leaves behind: a key that is revoked, and a review that knows nothing of it.
    await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'policy', comment: `access review ${id}` });
    const headers = { 'idempotency-key': 'once' };
    for (const replayed of [null, 'true']) {
      const answer = await attest(desk.admin, id, { keyId, decision: 'revoke' }, headers);
      expect(answer).toMatchObject({ status: 200, body: { decision: 'revoke', effective: true } });
      expect(answer.headers.get('idempotent-replayed')).toBe(replayed);
    }
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyRevoked']);
    expect((await desk.events(`review-${id}`)).at(-1)).toBe('AccessAttested');
  });

  it('started twice under one Idempotency-Key is one review', async () => {
    const acme = await desk.keyspace();
    await desk.issue(acme);
    const start = () =>
      desk.admin.post(
        REVIEWS,
        { name: 'Q1', filter: { keyspaceId: acme }, dueAt: DUE },
        { 'idempotency-key': `start-${acme}` },
      );
    const [first, second] = [await start(), await start()];
    expect(second.body).toEqual(first.body);
    expect(await desk.events(`review-${first.body.reviewId}`)).toEqual(['AccessReviewStarted', 'AccessReviewScoped']);
  });

  it('over more keys than one event takes is whole all the same', async () => {
    const acme = await desk.keyspace();
    const keys = Array.from({ length: 450 }, (_, n) => ({
      sha256: Buffer.from(`${acme}${n}`.padEnd(32, '.')).toString('hex'),
      environment: 'live',
      name: `Old ${n}`,
      owner: { id: 'app', type: 'application' },
      scopes: [],
    }));
    expect((await desk.admin.post('/v1/keys/import', { keyspaceId: acme, keys })).status).toBe(200);
    const id = await review(acme);
    const seen = new Set<string>();
    for (let cursor = ''; ;) {
      const { body } = await desk.admin.get(`${REVIEWS}/${id}?limit=200${cursor && `&cursor=${cursor}`}`);
      expect(body.counts).toMatchObject({ keys: 450, outstanding: 450 });
      for (const { keyId } of body.keys) seen.add(keyId);
      if (body.nextCursor === undefined) break;
      cursor = body.nextCursor;
    }
    expect(seen.size).toBe(450);
  });

  it('by its owners is attested with the key itself, or with a management key of the same owner', async () => {
    const acme = await desk.keyspace({ selfRevoke: true });
    const [one, two] = [await desk.issue(acme), await desk.issue(acme)];
    const id = await review(acme, { reviewer: 'owner' });
    const self = (key: string, body: object) => desk.as(key).post('/v1/keys/self/attest', { reviewId: id, ...body });
    expect((await attest(desk.admin, id, { keyId: one.keyId, decision: 'keep' })).body.code).toBe('NOT_ALLOWED');
    expect((await self(one.key, { decision: 'keep' })).body).toMatchObject({
      attestedBy: one.keyId,
      attestedAs: 'holder',
    });
    expect((await self(one.key, { decision: 'revoke' })).body).toMatchObject({ decision: 'revoke', effective: true });
    expect(await desk.verdict(one.key)).toBe('REVOKED');
    const owner = { id: 'app_checkout', type: 'application' };
    const { key } = await desk.issue('system', { scopes: ['reviews:attest'], lifetime: 'P1D', owner });
    const answer = await attest(desk.as(key), id, { keyId: two.keyId, decision: 'keep' });
    expect(answer.body).toMatchObject({ attestedAs: 'owner' });
  });

  it('lets a holder revoke only where the keyspace does, and changes nothing where it refuses', async () => {
    const acme = await desk.keyspace();
    const { key, keyId } = await desk.issue(acme);
    const id = await review(acme);
    const answer = await desk.as(key).post('/v1/keys/self/attest', { reviewId: id, decision: 'revoke' });
    expect(answer.body.code).toBe('NOT_ALLOWED');
    const named = await desk.credential('reviews:attest');
    const other = await review(acme, { reviewer: (await desk.issue('system', { scopes: ['reviews:attest'] })).keyId });
    expect((await attest(desk.as(named), other, { keyId, decision: 'revoke' })).body.code).toBe('NOT_ALLOWED');
    expect([await desk.verdict(key), await desk.events(`key-${keyId}`)]).toEqual(['VALID', ['KeyIssued']]);
  });

  it('needs scopes of its own, and shows nothing of keyspaces out of reach', async () => {
    const [mine, theirs] = [await desk.keyspace(), await desk.keyspace()];
    const { keyId } = await desk.issue(mine);
    await desk.issue(theirs, { owner: { id: `both-${mine}`, type: 'service' } });
    await desk.issue(mine, { owner: { id: `both-${mine}`, type: 'service' } });
    const both = await review(mine, { filter: { ownerId: `both-${mine}` } });
    const hidden = await review(theirs);
    const bound = desk.as(await desk.credential(`reviews:*@${mine}`));
    expect((await bound.get(`${REVIEWS}/${both}`)).body).toMatchObject({
      counts: { keys: 1 },
      keys: [{ keyspaceId: mine }],
    });
    expect((await bound.get(`${REVIEWS}/${hidden}`)).status).toBe(404);
    expect((await bound.post(`${REVIEWS}/${both}/close`, {})).body.code).toBe('NOT_ALLOWED');
    const listed = (await bound.get(REVIEWS)).body.items;
    expect(listed.map(({ reviewId }: { reviewId: string }) => reviewId)).toEqual([both]);

    const manager = desk.as(await desk.credential('keys:*', 'audit:*'));
    const asked = [
      await manager.get(REVIEWS),
      await manager.post(REVIEWS, { name: 'x', filter: {}, dueAt: DUE }),
      await attest(manager, both, { keyId, decision: 'keep' }),
    ];
    expect(asked.map(({ status }) => status)).toEqual([403, 403, 403]);
    const reader = desk.as(await desk.credential('reviews:read'));
    expect((await reader.post(REVIEWS, { name: 'x', filter: {}, dueAt: DUE })).status).toBe(403);
  });

  it.each([
    [{ dueAt: '2020-01-01T00:00:00Z' }, 422, 'dueAt'],
    [{ filter: { scope: 'payments:nothing' } }, 422, 'filter'],
    [{ filter: { scope: '*' } }, 400, 'filter.scope'],
    [{ filter: { state: 'gone' } }, 400, 'filter.state'],
    [{ reviewer: 'somebody1' }, 400, 'reviewer'],
    [{ name: '' }, 400, 'name'],
  ])('asked for with %j is refused with the field that is wrong', async (more, status, field) => {
    const answer = await desk.admin.post(REVIEWS, { name: 'Q1', filter: {}, dueAt: DUE, ...more });
    expect(answer).toMatchObject({ status, body: { errors: [{ field }] } });
  });

  it('is known to an api that has only just begun', async () => {
    const acme = await desk.keyspace();
    await desk.issue(acme);
    const id = await review(acme);
    const other = await startApp('api', system.env);
    try {
      const { body } = await http(other.baseUrl, system.adminKey).get(`${REVIEWS}?limit=1`);
      expect(body.items).toMatchObject([{ reviewId: id, counts: { keys: 1 } }]);
    } finally {
      await other.stop();
    }
  });
});
