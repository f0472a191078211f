import { randomBytes, randomUUID } from 'node:crypto';
import type { Client, Receiver } from '../support/index.js';
import { requestFor, type Desk } from './api.harness.js';
import { outcome, webhook } from './channels.harness.js';

/** One request to a repeatable route, and what else happens before it is repeated. */
export interface Repeatable {
  path: string;
  body: object;
  /** Another body that the route takes as well; none if it takes no body. */
  other?: object;
  /** Who sends it, if not the admin. */
  client?: Client;
  /** Something that changes what the first answer was about. */
  change?: (first: { body: Record<string, string> }) => Promise<unknown>;
  /** Members of the first answer that are gone once Redis has lost it. */
  onceOnly?: readonly string[];
  /** Its stream, where the end of the log does not tell whether it grew. */
  stream?: string;
}

const DUE = '2099-01-01T00:00:00.000Z';
const JO = { id: 'app-jo', type: 'application', contact: { email: 'jo@example.com' } };
const sha256 = () => randomBytes(32).toString('hex');

/** Every repeatable route, by its name in the OpenAPI document. */
export const REPEATABLE: Record<string, (desk: Desk, receiver: Receiver) => Promise<Repeatable>> = {
  '/v1/keyspaces': async (desk) => {
    const prefix = `t${randomBytes(5).toString('hex')}`;
    const change = () => desk.admin.patch(`/v1/keyspaces/${prefix}`, { name: 'Later' });
    return { path: '/v1/keyspaces', body: { name: 'A', prefix }, other: { name: 'B', prefix }, change };
  },
  '/v1/keyspaces/{keyspaceId}/archive': async (desk) => {
    return { path: `/v1/keyspaces/${await desk.keyspace()}/archive`, body: {} };
  },
  '/v1/keys': async (desk) => {
    const body = requestFor(await desk.keyspace());
    const change = ({ body: { keyId } }: { body: Record<string, string> }) => suspend(desk, keyId);
    return { path: '/v1/keys', body, other: { ...body, name: 'Other' }, change, onceOnly: ['key'] };
  },
  '/v1/keys/import': async (desk) => {
    const keyspaceId = await desk.keyspace();
    const { keyspaceId: _, ...item } = requestFor(keyspaceId);
    const [one, two, three] = [sha256(), sha256(), sha256()].map((hash) => ({ ...item, sha256: hash }));
    const change = async () => {
      const { items } = (await desk.admin.get(`/v1/keys?keyspaceId=${keyspaceId}`)).body;
      await suspend(desk, items[0].keyId);
    };
    const body = { keyspaceId, keys: [one, two, { ...two, name: 'Twice' }] };
    return { path: '/v1/keys/import', body, other: { keyspaceId, keys: [three] }, change };
  },
  '/v1/keys/revoke': async (desk) => {
    const keyspaceId = await desk.keyspace();
    await desk.issue(keyspaceId);
    await desk.issue(keyspaceId);
    const { keyId: spared } = await desk.issue(await desk.keyspace());
    const change = () => desk.issue(keyspaceId);
    const other = { keyIds: [spared], reason: 'offboarding' };
    return { path: '/v1/keys/revoke', body: { keyspaceId, reason: 'offboarding' }, other, change };
  },
  '/v1/keys/{keyId}/rotate': async (desk) => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const path = `/v1/keys/${keyId}/rotate`;
    const change = () => suspend(desk, keyId);
    return { path, body: { graceSeconds: 60 }, other: { graceSeconds: 61 }, change, onceOnly: ['key'] };
  },
  '/v1/keys/{keyId}/revoke': async (desk) => {
    const { keyId, key } = await desk.issue(await desk.keyspace());
    const change = () => desk.admin.post('/v1/leaks', { key, url: 'https://example.com/paste' });
    return { path: `/v1/keys/${keyId}/revoke`, body: { reason: 'leaked' }, other: { reason: 'superseded' }, change };
  },
  '/v1/keys/{keyId}/suspend': async (desk) => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const change = () => reinstate(desk, keyId);
    return { path: `/v1/keys/${keyId}/suspend`, body: { reason: 'one' }, other: { reason: 'other' }, change };
  },
  '/v1/keys/{keyId}/reinstate': async (desk) => {
    const { keyId } = await desk.issue(await desk.keyspace());
    await suspend(desk, keyId);
    const change = () => suspend(desk, keyId);
    return { path: `/v1/keys/${keyId}/reinstate`, body: { reason: 'one' }, other: { reason: 'other' }, change };
  },
  '/v1/keys/self/rotate': async (desk) => {
    const { keyId, key } = await desk.issue(await desk.keyspace({ selfRotate: true }));
    const change = () => desk.admin.patch(`/v1/keys/${keyId}`, { name: 'Later' });
    const [body, other] = [{ comment: 'one' }, { comment: 'other' }];
    return { path: '/v1/keys/self/rotate', body, other, client: desk.as(key), change, onceOnly: ['key'] };
  },
  '/v1/keys/self/revoke': async (desk) => {
    const { key } = await desk.issue(await desk.keyspace({ selfRevoke: true }));
    const [body, other] = [{ reason: 'leaked' }, { reason: 'superseded' }];
    return { path: '/v1/keys/self/revoke', body, other, client: desk.as(key) };
  },
  '/v1/keys/self/attest': async (desk) => {
    const keyspaceId = await desk.keyspace({ selfRevoke: true });
    const { key } = await desk.issue(keyspaceId);
    const reviewId = await startedReview(desk, keyspaceId);
    const [body, other] = ['revoke', 'keep'].map((decision) => ({ reviewId, decision })) as [object, object];
    const change = () => desk.admin.post(`/v1/audit/reviews/${reviewId}/close`, {});
    return { path: '/v1/keys/self/attest', body, other, client: desk.as(key), change };
  },
  '/v1/channels': async (desk, receiver) => {
    const body = { name: 'A', type: 'webhook', audience: 'system', target: { url: `${receiver.url}/new` }, kinds: [] };
    const change = ({ body: { channelId } }: { body: Record<string, string> }) =>
      desk.admin.patch(`/v1/channels/${channelId}`, { name: 'Later' });
    const request = { ...body, kinds: ['audit.mismatch'] };
    return {
      path: '/v1/channels',
      body: request,
      other: { ...request, name: 'B' },
      change,
      onceOnly: ['signingSecret'],
    };
  },
  '/v1/channels/{channelId}/test': async (desk, receiver) => {
    const { channelId } = await webhook(desk.admin, `${receiver.url}/t`, { kinds: ['audit.mismatch'] });
    const change = () => desk.admin.patch(`/v1/channels/${channelId}`, { name: 'Later' });
    return { path: `/v1/channels/${channelId}/test`, body: {}, change };
  },
  '/v1/channels/{channelId}/rotate-secret': async (desk, receiver) => {
    const { channelId } = await webhook(desk.admin, `${receiver.url}/r`, { kinds: ['audit.mismatch'] });
    const path = `/v1/channels/${channelId}/rotate-secret`;
    const change = () => desk.admin.patch(`/v1/channels/${channelId}`, { name: 'Later' });
    return { path, body: { overlap: 'PT1H' }, other: { overlap: 'PT2H' }, change, onceOnly: ['signingSecret'] };
  },
  '/v1/notifications/{notificationId}/replay': async (desk, receiver) => {
    const { channelId } = await webhook(desk.admin, `${receiver.url}/broken`, { kinds: ['audit.mismatch'] });
    const { notificationId } = (await desk.admin.post(`/v1/channels/${channelId}/test`, {})).body;
    await outcome(desk.admin, notificationId, 'failed');
    const path = `/v1/notifications/${notificationId}/replay`;
    const change = () => outcome(desk.admin, notificationId, 'failed');
    return { path, body: {}, change, stream: `notification-${notificationId}` };
  },
  '/v1/audit/reviews': async (desk) => {
    const keyspaceId = await desk.keyspace();
    await desk.issue(keyspaceId);
    const body = { name: 'Q1', filter: { keyspaceId }, dueAt: DUE };
    const change = async ({ body: { reviewId } }: { body: Record<string, string> }) => {
      await desk.issue(keyspaceId);
      await desk.admin.post(`/v1/audit/reviews/${reviewId}/close`, {});
    };
    return { path: '/v1/audit/reviews', body, other: { ...body, name: 'Q2' }, change };
  },
  '/v1/audit/reviews/{reviewId}/attest': async (desk) => {
    const keyspaceId = await desk.keyspace();
    const { keyId } = await desk.issue(keyspaceId);
    const reviewId = await startedReview(desk, keyspaceId);
    const path = `/v1/audit/reviews/${reviewId}/attest`;
    const change = async () => {
      await desk.admin.post(path, { keyId, decision: 'revoke' });
      await desk.admin.post(`/v1/audit/reviews/${reviewId}/close`, {});
    };
    return { path, body: { keyId, decision: 'keep' }, other: { keyId, decision: 'keep', comment: 'x' }, change };
  },
  '/v1/audit/reviews/{reviewId}/close': async (desk) => {
    const keyspaceId = await desk.keyspace();
    await desk.issue(keyspaceId);
    const path = `/v1/audit/reviews/${await startedReview(desk, keyspaceId)}/close`;
    return { path, body: { comment: 'one' }, other: { comment: 'other' } };
  },
  '/v1/privacy/subjects/{subjectId}/erase': async (desk) => {
    const keyspaceId = await desk.keyspace();
    const owner = { ...JO, id: randomUUID() };
    await desk.issue(keyspaceId, { owner });
    const { subjectId } = (await desk.admin.post('/v1/privacy/subjects/find', { ownerId: owner.id })).body;
    const change = () => desk.issue(keyspaceId, { owner });
    const path = `/v1/privacy/subjects/${subjectId}/erase`;
    return { path, body: { reason: 'asked for' }, other: { reason: 'asked for twice' }, change };
  },
};

const suspend = (desk: Desk, keyId?: string) => desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'meanwhile' });
const reinstate = (desk: Desk, keyId: string) =>
  desk.admin.post(`/v1/keys/${keyId}/reinstate`, { reason: 'meanwhile' });

async function startedReview(desk: Desk, keyspaceId: string): Promise<string> {
  const { body } = await desk.admin.post('/v1/audit/reviews', { name: 'Q1', filter: { keyspaceId }, dueAt: DUE });
  return body.reviewId;
}
