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
