import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, startSystem, type Client, type System } from '../support/index.js';
import { Desk } from './api.harness.js';

let system: System;
let desk: Desk;
let acme: string;
let other: string;
let keyId: string;
let key: string;
/** Instants between the steps of the key's life. */
const at: Record<string, string> = {};

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
  [acme, other] = [await desk.keyspace(), await desk.keyspace()];
  await desk.issue(other, { owner: { id: 'app_else', type: 'service' } });
  at['before'] = await tick();
  ({ keyId, key } = await desk.issue(acme, { scopes: ['payments:*'], name: '=cmd|calc' }));
  at['issued'] = await tick();
  const why = { 'x-keyledger-reason': 'ticket OPS-7', 'x-keyledger-on-behalf-of': 'jane@example.com' };
  await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'odd traffic' }, why);
  at['suspended'] = await tick();
  await desk.admin.post(`/v1/keys/${keyId}/reinstate`, { reason: 'was ours' });
  await desk.admin.patch(`/v1/keys/${keyId}`, { owner: { id: 'app_next', type: 'service' } });
  at['changed'] = await tick();
  await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' });
  at['revoked'] = await tick();
}, 120_000);

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

/** An instant that lies apart from every event before and behind it. */
async function tick(): Promise<string> {
  const last = Date.now();
  const now = await eventually('the clock has gone on', () => Date.now() > last && Date.now());
  await eventually('and goes on', () => Date.now() > now);
  return new Date(now).toISOString();
}

const get = async (path: string, client: Client = desk.admin) => (await client.get(`/v1/audit/${path}`)).body;
const types = (items: { type: string }[]) => items.map(({ type }) => type);
const LIFE = ['KeyIssued', 'KeySuspended', 'KeyReinstated', 'KeyDetailsChanged', 'KeyRevoked'];

describe('the events of the trail', () => {
  it('come by key in both orders, with who, for whom, from where, why and what is otherwise', async () => {
    const { items } = await get(`events?keyId=${keyId}&order=oldest`);
    expect(types(items)).toEqual(LIFE);
    expect(types((await get(`events?keyId=${keyId}`)).items)).toEqual(LIFE.toReversed());
    expect(items[1]).toMatchObject({
      keyId,
      keyspaceId: acme,
      ownerId: 'app_checkout',
      actor: { type: 'key', onBehalfOf: 'jane@example.com' },
      reason: 'odd traffic',
      clientAddress: '127.0.0.1',
      changes: { state: { before: 'active', after: 'suspended' } },
      position: expect.stringMatching(/^\d+$/),
      recordedAt: expect.stringMatching(/\.\d{3}Z$/),
    });
    expect(items[3].changes.owner).toEqual({
      before: { id: 'app_checkout', type: 'application' },
      after: { id: 'app_next', type: 'service' },
    });
    expect(JSON.stringify(items)).not.toContain('"hash"');
  });

  it.each([
    ['owner, at the time of the event', () => 'ownerId=app_next', ['KeyDetailsChanged', 'KeyRevoked']],
    ['types', () => `keyspaceId=${acme}&type=KeyRevoked,KeySuspended`, ['KeySuspended', 'KeyRevoked']],
    ['keyspace', () => `keyspaceId=${acme}`, ['KeyspaceCreated', ...LIFE]],
    ['time', () => `from=${at['issued']}&to=${at['suspended']}`, ['KeySuspended']],
    ['whom it was done for', () => 'actorId=jane@example.com', ['KeySuspended']],
  ])('are narrowed by %s', async (_, query, expected) => {
    const { items } = await get(
      `events?order=oldest&type=${[...LIFE, 'KeyspaceCreated'].join(',')}&${query()}`.replace(
        /type=[^&]*&(.*type=)/,
        '$1',
      ),
    );
    expect(types(items)).toEqual(expected);
  });

  it('come in pages that together are the whole, whichever way', async () => {
    for (const query of [
      `keyId=${keyId}`,
      `keyspaceId=${acme}`,
      `keyspaceId=${acme}&order=oldest`,
      `keyId=${keyId}&order=oldest`,
    ]) {
      const whole = (await get(`events?${query}&limit=1000`)).items;
      const paged: unknown[] = [];
      for (let cursor: string | undefined = ''; cursor !== undefined;) {
        const page: { items: unknown[]; nextCursor?: string } = await get(
          `events?${query}&limit=2${cursor && `&cursor=${cursor}`}`,
        );
        paged.push(...page.items);
        cursor = page.nextCursor;
      }
      expect(paged).toEqual(whole);
    }
  });

  it('leave as NDJSON and CSV, where a name that looks like a formula is none', async () => {
    const ndjson = await desk.admin.get(`/v1/audit/events?keyspaceId=${acme}&format=ndjson`);
    expect(ndjson.headers.get('content-type')).toContain('application/x-ndjson');
    const rows = String(ndjson.body.text)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(types(rows)).toEqual(['KeyspaceCreated', ...LIFE]);
    const csv = await desk.admin.get(`/v1/audit/state?keyspaceId=${acme}`, { accept: 'text/csv' });
    const [head, line] = String(csv.body.text).split('\r\n');
    expect(head).toMatch(/^keyId,keyspaceId,/);
    expect(line).toContain(",'=cmd|calc,");
  });

  it('leave for a SIEM as OCSF in CloudEvents, without a gap from poll to poll, and without the polls themselves', async () => {
    const headers = { accept: 'application/cloudevents-batch+json' };
    const seen: string[] = [];
    let after = '0';
    for (let more = true; more;) {
      const batch = await desk.admin.get(
        `/v1/audit/events?type=${LIFE.join(',')},AuditTrailExported&limit=3&after=${after}`,
        headers,
      );
      expect(batch.headers.get('content-type')).toContain('application/cloudevents-batch+json');
      seen.push(...batch.body.map(({ id }: { id: string }) => id));
      after = batch.headers.get('x-keyledger-next-position') as string;
      more = batch.body.length > 0;
    }
    const all = await get(`events?order=oldest&limit=1000&type=${LIFE.join(',')}`);
    expect(seen).toEqual(all.items.map(({ id }: { id: string }) => id));
  });

  it('are followed live, from a position on', async () => {
    const { items } = await get(`events?keyId=${keyId}&order=oldest`);
    const leaving = new AbortController();
    const response = await fetch(`${system.api.baseUrl}/v1/audit/events/tail?keyspaceId=${acme}`, {
      headers: { authorization: `Bearer ${system.adminKey}`, 'last-event-id': items[2].position },
      signal: leaving.signal,
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const fresh = await desk.issue(acme);
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      if (text.includes(fresh.keyId)) break;
    }
    leaving.abort();
    expect([...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type)).toEqual([
      'KeyDetailsChanged',
      'KeyRevoked',
      'KeyIssued',
    ]);
  });

  it('are followed no further by a credential that was revoked meanwhile', async () => {
    const reader = await desk.issue('system', { scopes: ['audit:read'] });
    const { body } = await fetch(`${system.api.baseUrl}/v1/audit/events/tail?keyspaceId=${acme}`, {
      headers: { authorization: `Bearer ${reader.key}` },
    });
    let text = '';
    let ended = false;
    const read = async (): Promise<void> => {
      for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) text += Buffer.from(chunk).toString();
    };
    void read()
      .catch(() => undefined)
      .finally(() => (ended = true));
    const before = await desk.issue(acme);
    await eventually('it follows', () => text.includes(before.keyId));
    await desk.admin.post(`/v1/keys/${reader.keyId}/revoke`, { reason: 'compromised' });
    await eventually('what happens next ends it', async () => {
      await desk.issue(acme);
      return ended;
    });
  });
});

describe('the past', () => {
  it.each([
    ['before', 'NOT_FOUND', undefined],
    ['issued', 'VALID', 'active'],
    ['suspended', 'SUSPENDED', 'suspended'],
    ['changed', 'VALID', 'active'],
    ['revoked', 'REVOKED', 'revoked'],
  ])('shows the key %s as it was', async (when, code, state) => {
    const answer = await get(`keys/${keyId}?at=${at[when]}`);
    expect(answer.verdict.code).toBe(code);
    expect(answer.key?.state).toBe(state);
  });

  it('tells what was known later about an earlier time', async () => {
    const known = await get(`keys/${keyId}?at=${at['suspended']}&knownAt=${at['revoked']}`);
    expect(known).toMatchObject({ verdict: { code: 'SUSPENDED' }, eventCount: 2 });
  });

  it('shows a key as of a position', async () => {
    const { items } = await get(`events?keyId=${keyId}&order=oldest`);
    const { key: shown, position } = await get(`keys/${keyId}?position=${items[1].position}`);
    expect([shown.state, position]).toEqual(['suspended', items[1].position]);
  });

  it('says who could do something then, and not who can now', async () => {
    const could = (when: string) => get(`state?at=${at[when]}&scope=payments:write&state=active&keyspaceId=${acme}`);
    const ids = async (when: string) => (await could(when)).items.map((one: { keyId: string }) => one.keyId);
    expect(await ids('issued')).toEqual([keyId]);
    expect(await ids('suspended')).toEqual([]);
    expect(await ids('revoked')).toEqual([]);
  });

  it('shows every key, in pages, as of one instant', async () => {
    const whole = await get(`state?at=${at['revoked']}&limit=1000`);
    const first = await get(`state?at=${at['revoked']}&limit=2`);
    const second = await get(`state?at=${at['revoked']}&limit=2&cursor=${first.nextCursor}`);
    expect([...first.items, ...second.items]).toEqual(whole.items.slice(0, 4));
    expect((await get(`state?at=${at['revoked']}&limit=1000&replay=true`)).items).toEqual(whole.items);
  });

  it('says what was otherwise between two instants, key by key', async () => {
    const { items } = await get(`diff?from=${at['suspended']}&to=${at['changed']}`);
    expect(items).toMatchObject([
      {
        keyId,
        before: { state: 'suspended', owner: { id: 'app_checkout' } },
        after: { state: 'active', owner: { id: 'app_next' } },
        changed: expect.arrayContaining(['owner', 'state']),
        events: [{ type: 'KeyReinstated' }, { type: 'KeyDetailsChanged' }],
      },
    ]);
  });

  it('explains a verdict by the event that decided it, on a text or an id, and never keeps the text', async () => {
    const ask = async (body: object) => (await desk.admin.post('/v1/audit/explain', body)).body;
    const scopes = ['payments:write'];
    expect(await ask({ key, at: at['issued'], request: { scopes } })).toMatchObject({
      code: 'VALID',
      decidedBy: { type: 'KeyIssued' },
    });
    expect(await ask({ key, at: at['suspended'] })).toMatchObject({
      code: 'SUSPENDED',
      revision: 1,
      decidedBy: { type: 'KeySuspended' },
    });
    expect(await ask({ keyId, at: at['revoked'] })).toMatchObject({
      code: 'REVOKED',
      decidedBy: { type: 'KeyRevoked' },
    });
    expect(await ask({ keyId, at: at['issued'], request: { scopes: ['refunds:read'] } })).toMatchObject({
      code: 'INSUFFICIENT_SCOPE',
      decidedBy: { type: 'KeyIssued' },
    });
    const live = (await desk.admin.post('/v1/verify', { key })).body;
    expect(await ask({ key, revision: live.revision })).toMatchObject({
      code: live.code,
      valid: live.valid,
      secretId: live.secretId,
    });
    const reads = await get(`events?type=AuditTrailRead&limit=1000`);
    expect(JSON.stringify(reads)).not.toContain(key);
  });

  it('records no question that it refuses', async () => {
    for (const body of [{ keyId: 'nobodyKnows1' }, { keyId, revision: 1000 }]) {
      const requestId = `refused-${body.keyId}`;
      const { status } = await desk.admin.post('/v1/audit/explain', body, { 'x-request-id': requestId });
      expect([400, 404]).toContain(status);
      expect((await get(`events?requestId=${requestId}`)).items).toEqual([]);
    }
  });
});

describe('a reader of the trail', () => {
  it('is recorded before he reads, with what he asked for', async () => {
    const auditor = desk.as(await desk.credential('audit:read'));
    await get(`events?keyId=${keyId}&limit=2`, auditor);
    const { items } = await get('events?type=AuditTrailRead&limit=1');
    expect(items[0]).toMatchObject({
      type: 'AuditTrailRead',
      data: { route: 'GET /v1/audit/events', filter: { keyId }, format: 'json', count: 2 },
    });
    const none = await auditor.get('/v1/audit/events?format=csv');
    expect([none.status, none.body.detail]).toEqual([403, 'The credential lacks the scope audit:export.']);
  });

  it('who is bound to a keyspace sees nothing of another', async () => {
    const bound = desk.as(await desk.credential(`audit:read@${acme}`, `audit:export@${acme}`));
    const { items } = await get('events?limit=1000', bound);
    expect(new Set(items.map((one: { keyspaceId: string }) => one.keyspaceId))).toEqual(new Set([acme]));
    const keys = await get('state?limit=1000', bound);
    expect(new Set(keys.items.map((one: { keyspaceId: string }) => one.keyspaceId))).toEqual(new Set([acme]));
    expect((await bound.get(`/v1/audit/events?keyspaceId=${other}`)).status).toBe(404);
    const exported = await bound.get('/v1/audit/events?format=ndjson');
    expect(exported.body.text).not.toContain(other);
  });
});

describe('a question that cannot be answered', () => {
  it.each([
    ['at', () => 'state?at=2999-01-01T00:00:00Z'],
    ['position', () => `keys/${keyId}?position=99999999`],
    ['from', () => 'diff?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z'],
    ['from', () => 'events?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z'],
    ['type', () => 'events?type=KeyStolen'],
    ['cursor', () => 'events?cursor=xyz'],
    ['after', () => 'events?after=99999999&format=ocsf'],
    ['format', () => 'events?format=xml'],
    ['fromPosition', () => 'events?fromPosition=9&toPosition=3'],
    ['who', () => 'events?who=me'],
  ])('is refused, naming %s', async (field, path) => {
    const { status, body } = await desk.admin.get(`/v1/audit/${path()}`);
    expect([status, body.errors?.[0]?.field]).toEqual([400, field]);
  });

  it('about the time before the first event has the right answer: nothing', async () => {
    const long = '2001-01-01T00:00:00Z';
    expect((await get(`state?at=${long}`)).items).toEqual([]);
    expect((await get(`events?to=${long}`)).items).toEqual([]);
    expect(await get(`keys/${keyId}?at=${long}`)).toMatchObject({ key: null, verdict: { code: 'NOT_FOUND' } });
  });
});
