import { expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { eventually, startSystem, type Answer } from '../support/index.js';
import { Desk, requestFor } from '../e2e/api.harness.js';

it('kill -9 of the api under load: every request that is repeated gets its one key, which works', async () => {
  const system = await startSystem();
  const desk = new Desk(system);
  const id = await desk.keyspace();
  const ids = Array.from({ length: 200 }, () => randomUUID());
  const send = (key: string) => desk.admin.post('/v1/keys', requestFor(id), { 'idempotency-key': key });

  const sent: Promise<Answer | undefined>[] = [];
  for (const [index, key] of ids.entries()) {
    sent.push(send(key).catch(() => undefined));
    if (index % 20 === 19) await sent[index - 15];
    if (index === 120) await system.api.kill();
  }
  const first = await Promise.all(sent);
  expect(first.some((answer) => answer?.status === 201)).toBe(true);
  expect(first.some((answer) => answer === undefined)).toBe(true);

  await system.api.start();
  // The lock of a request that was cut off is given up after half a minute.
  const second = await Promise.all(
    ids.map((key) =>
      eventually(
        `${key} is answered`,
        async () => {
          const answer = await send(key);
          return answer.status === 201 && answer;
        },
        { timeoutMs: 60_000 },
      ),
    ),
  );
  for (const [index, { body }] of second.entries()) {
    const before = first[index];
    if (before?.status === 201) expect(body).toEqual(before.body);
    expect(await desk.verdict(body.key)).toBe('VALID');
    expect(await desk.events(`key-${body.keyId}`)).toEqual(['KeyIssued']);
  }
  expect(new Set(second.map(({ body }) => body.keyId)).size).toBe(ids.length);
  await desk.dispose();
  await system.stop();
});

it('kill -9 of the api amid a bulk revocation: repeated, it finishes the keys that it was about, and no others', async () => {
  const system = await startSystem();
  const desk = new Desk(system);
  const id = await desk.keyspace();
  const { keyspaceId, ...item } = requestFor(id);
  const hashes = Array.from({ length: 600 }, (_, index) => index.toString(16).padStart(64, '0'));
  const keys = hashes.map((sha256) => ({ ...item, sha256 }));
  const imported = (await desk.admin.post('/v1/keys/import', { keyspaceId, keys })).body.results;
  const keyIds: string[] = imported.map(({ keyId }: { keyId: string }) => keyId);
  const headers = { 'idempotency-key': randomUUID() };
  const send = () => desk.admin.post('/v1/keys/revoke', { keyspaceId: id, reason: 'offboarding' }, headers);

  const lost = send().catch(() => undefined);
  await eventually('some are revoked', async () => (await revoked(desk, keyIds.slice(0, 10))) > 0);
  await system.api.kill();
  expect(await lost).toBeUndefined();
  expect(await revoked(desk, keyIds)).toBeLessThan(keyIds.length);

  await system.api.start();
  const later = await desk.issue(id);
  const other = { keyIds: [later.keyId], reason: 'offboarding' };
  const reused = await desk.admin.post('/v1/keys/revoke', other, headers);
  expect([reused.status, reused.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
  // The lock of a request that was cut off is given up after half a minute.
  const finished = await eventually(
    'it is finished',
    async () => {
      const answer = await send();
      return answer.status === 200 && answer;
    },
    { timeoutMs: 60_000 },
  );
  expect(finished.headers.get('idempotent-replayed')).toBeNull();
  expect(finished.body.results.map(({ keyId }: { keyId: string }) => keyId).toSorted()).toEqual(keyIds.toSorted());
  for (const { keyId, status, revision } of finished.body.results)
    expect([keyId, status, revision]).toEqual([keyId, 'revoked', 1]);
  expect(await revoked(desk, keyIds)).toBe(keyIds.length);
  expect(await desk.verdict(later.key)).toBe('VALID');

  const again = await send();
  expect(again.body).toEqual(finished.body);
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect(await revoked(desk, keyIds)).toBe(keyIds.length);
  await desk.dispose();
  await system.stop();
});

/** How many revocations the log has of these keys. */
async function revoked(desk: Desk, keyIds: readonly string[]): Promise<number> {
  const ends = await Promise.all(keyIds.map((keyId) => desk.events(`key-${keyId}`)));
  return ends.flat().filter((type) => type === 'KeyRevoked').length;
}
