import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CommandContext, Owner } from '@keyledger/contracts';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from './logger.js';
import { PersonalData, type PersonalDataMode } from './personal-data.js';
import { RefusalError } from './problem.js';
import { Sealing } from './sealing.js';
import { SubjectKeys } from './subject-keys.js';

const logger = createLogger('test');
logger.level = 'silent';
const sealing = new Sealing([{ id: 'k1', key: randomBytes(32) }]);
const at = '2026-11-24T10:00:00.000Z';
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyledger-personal-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function made(mode: PersonalDataMode = 'encrypted', own = new SubjectKeys(join(folder, 'subjects'), sealing)) {
  return { personal: new PersonalData(mode, own, logger), keys: own };
}

const context: CommandContext = {
  commandId: 'c1',
  now: at,
  actor: { type: 'key', id: 'admin', onBehalfOf: 'jane@example.com' },
  reason: 'ticket 42',
  requestId: 'r1',
  clientAddress: '203.0.113.7',
  userAgent: 'curl/8',
};
const owner: Owner = { id: 'app', type: 'application', contact: { name: 'Jo Doe', email: 'jo@example.com' } };

describe('personal data on its way in and out', () => {
  it('comes back as it was, whatever it was, and stands in nothing that is kept', async () => {
    const { personal } = made();
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(text, text, text, async (onBehalfOf, clientAddress, userAgent) => {
        const given = { ...context, actor: { ...context.actor, onBehalfOf }, clientAddress, userAgent };
        const kept = await personal.context(given);
        for (const token of [kept.actor.onBehalfOf, kept.clientAddress, kept.userAgent]) {
          expect(token).toMatch(/^pii:v1:[0-9A-Za-z]{22}:1:[A-Za-z.]+:[\w-]{38,}$/);
        }
        expect(await personal.revealDeep(kept)).toEqual(given);
      }),
      { numRuns: 50 },
    );
  });

  it('reads as erased everywhere once the key of its subject is destroyed, and new data does not', async () => {
    const { personal, keys } = made();
    const kept = await personal.context({ ...context, actor: { ...context.actor, onBehalfOf: 'erased@example.com' } });
    const id = await keys.idOf('person', 'erased@example.com');
    await keys.destroy(id, 'person', 1, at);
    const pages = [{ metadata: kept, data: { changes: { a: [kept] } } }];
    const shown = JSON.stringify(await personal.revealDeep(pages));
    expect(shown).not.toContain('pii:v1');
    expect(shown.match(/\[erased\]/g)).toHaveLength(6);
    const later = await personal.context({ ...context, actor: { ...context.actor, onBehalfOf: 'erased@example.com' } });
    expect(later.clientAddress).toContain(`:${id}:2:`.slice(1));
    expect((await personal.revealDeep(later)).clientAddress).toBe('203.0.113.7');
  });

  it('is written otherwise each time, so that equal values cannot be told by their texts', async () => {
    const { personal } = made();
    const [one, other] = [await personal.context(context), await personal.context(context)];
    expect(one.clientAddress).not.toBe(other.clientAddress);
    expect((await personal.owner(owner)).contact?.email).not.toBe((await personal.owner(owner)).contact?.email);
  });

  it('belongs to the person who was named, else to the credential, else to the address', async () => {
    const { personal, keys } = made();
    const subject = async (actor: CommandContext['actor']) =>
      (await personal.context({ ...context, actor })).clientAddress?.split(':')[2];
    expect(await subject(context.actor)).toBe(await keys.idOf('person', 'jane@example.com'));
    expect(await subject({ type: 'key', id: 'admin' })).toBe(await keys.idOf('credential', 'admin'));
    expect(await subject({ type: 'system', id: 'found' })).toBe(await keys.idOf('address', '203.0.113.7'));
  });

  it('of an owner stays as it is recorded where it is given again unchanged', async () => {
    const { personal } = made();
    const before = await personal.owner(owner);
    expect(await personal.owner(owner, before)).toEqual(before);
    const after = await personal.owner({ ...owner, contact: { name: 'Al Roe', email: 'jo@example.com' } }, before);
    expect(after.contact?.email).toBe(before.contact?.email);
    expect(await personal.revealDeep(after)).toEqual({
      ...owner,
      contact: { name: 'Al Roe', email: 'jo@example.com' },
    });
  });

  it('is refused as a contact where it is a mark or a token, which would be shown for something else', async () => {
    const { personal } = made();
    const token = (await personal.owner(owner)).contact?.email ?? '';
    for (const name of ['[erased]', '[withheld]', '[unreadable]', token]) {
      await expect(personal.owner({ ...owner, contact: { name } })).rejects.toThrow(RefusalError);
    }
  });
});

describe('the place from where a decoy was presented', () => {
  const from = { address: '198.51.100.9', userAgent: 'curl/8', service: 'gateway' };

  it('is encrypted for the address, and two from one address can be told by what no address can be guessed from', async () => {
    const { personal, keys } = made();
    const [one, other] = [await personal.presentedFrom(from), await personal.presentedFrom(from)];
    expect(one.sameAs).toBe(await keys.idOf('address', '198.51.100.9'));
    expect(other.sameAs).toBe(one.sameAs);
    expect(other.from.address).not.toBe(one.from.address);
    expect(one.from.service).toBe('gateway');
    expect(await personal.revealDeep(one.from)).toEqual(from);
  });

  it('is left out where it cannot be kept, and kept as it came where that was chosen', async () => {
    expect(await made('omitted').personal.presentedFrom(from)).toEqual({ from: { service: 'gateway' } });
    expect(await made('plain').personal.presentedFrom(from)).toEqual({ from, sameAs: from.address });
  });
});

describe('a token', () => {
  it('that was changed, or moved to another subject or field, is not read', async () => {
    const { personal } = made();
    const token = (await personal.context(context)).clientAddress ?? '';
    const other = (await personal.context({ ...context, actor: { type: 'key', id: 'x' } })).clientAddress ?? '';
    const moved = [...other.split(':').slice(0, 5), token.split(':')[5]].join(':');
    const unreadable = async (stored: Partial<CommandContext>) =>
      expect(Object.values(await personal.revealDeep(stored))).toEqual(['[unreadable]']);
    await unreadable({ clientAddress: moved });
    await unreadable({ userAgent: token.replace('clientAddress', 'userAgent') });
    const [, body = ''] = /:([\w-]+)$/.exec(token) ?? [];
    for (let at = 0; at < body.length - 1; at += 5) {
      const flipped = body.slice(0, at) + (body[at] === 'A' ? 'B' : 'A') + body.slice(at + 1);
      await unreadable({ clientAddress: token.replace(body, flipped) });
    }
  });

  it('is not read out where people write freely', async () => {
    const { personal } = made();
    const copied = { name: (await personal.owner(owner)).contact?.email, metadata: { team: 'pii:v1:nonsense' } };
    expect(await personal.revealDeep(copied)).toBe(copied);
  });
});

describe('without a way to encrypt', () => {
  const bare = { ...context, actor: { type: 'key', id: 'admin', onBehalfOf: '[withheld]' } };
  const { clientAddress: _, userAgent: __, ...withheld } = bare;

  it.each([
    ['there is no sealing key', 'encrypted', () => new SubjectKeys(join(folder, 'none'), new Sealing([]))],
    ['nothing is to be kept', 'omitted', () => new SubjectKeys(join(folder, 'none'), sealing)],
  ] as const)('nothing of it is kept, and a contact is refused: %s', async (_name, mode, keys) => {
    const { personal } = made(mode, keys());
    expect(await personal.context(context)).toEqual(withheld);
    await expect(personal.owner(owner)).rejects.toThrow('cannot be kept');
    expect(await personal.owner({ id: 'app', type: 'service', contact: {} })).toEqual({ id: 'app', type: 'service' });
  });

  it('a command goes on without it when the folder cannot be used, and a contact waits', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const { personal } = made('encrypted', new SubjectKeys(join(file, 'subjects'), sealing));
    expect(await personal.context(context)).toEqual(withheld);
    await expect(personal.owner(owner)).rejects.toMatchObject({ refusal: { code: 'UNAVAILABLE' } });
  });

  it('a command goes on without it when a folder that was good is lost', async () => {
    const lost = join(folder, 'lost');
    const { personal } = made('encrypted', new SubjectKeys(lost, sealing));
    expect((await personal.context(context)).clientAddress).toMatch(/^pii:/);
    rmSync(lost, { recursive: true });
    writeFileSync(lost, '');
    const john = { ...context, actor: { ...context.actor, onBehalfOf: 'john@example.com' } };
    expect(await personal.context(john)).toEqual(withheld);
  });

  it('it is kept as it came if that was chosen, but for what would be taken for encrypted', async () => {
    const { personal } = made('plain');
    expect(await personal.context(context)).toEqual(context);
    expect(await personal.owner(owner)).toEqual(owner);
    expect((await personal.context({ ...context, userAgent: 'pii:v1:x' })).userAgent).toBe('[withheld]');
  });
});
