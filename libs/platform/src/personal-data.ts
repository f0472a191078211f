import {
  PERSONAL_FIELDS,
  PERSONAL_MARKS,
  PERSONAL_TOKEN_PREFIX,
  SUBJECT_ID_PATTERN,
  refusal,
  type CommandContext,
  type Owner,
  type OwnerContact,
  type PersonalField,
  type SubjectKind,
} from '@keyledger/contracts';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { LogAllowance } from './log-allowance.js';
import type { Logger } from './logger.js';
import { invalidField, RefusalError, unavailable } from './problem.js';
import { Sealing, type SealingKey } from './sealing.js';
import { SubjectKeys } from './subject-keys.js';

/**
 * What is kept of personal data: `encrypted` under the key of its subject (nothing where there is no sealing key),
 * nothing (`omitted`), or as it came (`plain`), which no erasure reaches.
 */
export const PERSONAL_DATA_MODES = ['encrypted', 'omitted', 'plain'] as const;
export type PersonalDataMode = (typeof PERSONAL_DATA_MODES)[number];

const IV_BYTES = 12;
const TAG_BYTES = 16;
const TOKEN = /^(pii:v1:([0-9A-Za-z]{22}):([1-9]\d{0,8}):([A-Za-z.]+)):([A-Za-z0-9_-]+)$/;
const LINES_PER_MINUTE = 6;
const MARKS: readonly string[] = Object.values(PERSONAL_MARKS);

interface Token {
  head: string;
  subjectId: string;
  generation: number;
  field: PersonalField;
  bytes: Buffer;
}

interface Presented {
  address?: string;
  userAgent?: string;
}

type Key = Buffer | 'destroyed' | undefined;

/**
 * The border between people's data and everything that keeps it. On the way in, values become tokens before a command
 * or an event is made of them; on the way out, tokens become values again, or say that they were erased. In between,
 * events, Redis, queues, proofs and exports hold tokens only.
 */
export class PersonalData {
  private readonly allowance = new LogAllowance(LINES_PER_MINUTE, Date.now);

  constructor(
    private readonly mode: PersonalDataMode,
    private readonly keys: SubjectKeys,
    private readonly logger: Logger,
  ) {}

  /** Whether what is given is kept encrypted. */
  get encrypts(): boolean {
    return this.mode === 'encrypted' && this.keys.available;
  }

  /**
   * A command's context as it may be recorded. Client address and user agent belong to the person for whom the actor
   * says it acts, else to the actor's credential, else to the address itself. It never fails: a key must be revocable
   * while a disk is full. What cannot be kept encrypted is left out, and a person who was named becomes `[withheld]`.
   */
  async context(context: CommandContext): Promise<CommandContext> {
    const { actor, clientAddress, userAgent, ...rest } = context;
    const { onBehalfOf, ...bare } = actor;
    if (onBehalfOf === undefined && clientAddress === undefined && userAgent === undefined) return context;
    if (this.mode === 'plain') return plainContext(context);
    const withheld = {
      ...rest,
      actor: { ...bare, ...(onBehalfOf !== undefined && { onBehalfOf: PERSONAL_MARKS.withheld }) },
    };
    if (!this.encrypts) return withheld;
    const [kind, name] = subjectOf(context);
    try {
      const seal = await this.sealer(kind, name);
      return {
        ...rest,
        actor: { ...bare, ...(onBehalfOf !== undefined && { onBehalfOf: seal('actor.onBehalfOf', onBehalfOf) }) },
        ...(clientAddress !== undefined && { clientAddress: seal('clientAddress', clientAddress) }),
        ...(userAgent !== undefined && { userAgent: seal('userAgent', userAgent) }),
      };
    } catch (error) {
      this.leftOut(error);
      return withheld;
    }
  }

  /**
   * An owner as it may be recorded. Encrypting the same contact twice gives two texts, so one that `before` holds
   * already stays as it is.
   * @throws RefusalError where a contact is given that cannot be kept
   */
  async owner(owner: Owner, before?: Owner): Promise<Owner> {
    const { contact, ...bare } = owner;
    if (!contact || Object.values(contact).every((value) => value === undefined)) return bare;
    for (const [name, value] of Object.entries(contact) as [string, string | undefined][]) {
      if (value !== undefined && (MARKS.includes(value) || value.startsWith(PERSONAL_TOKEN_PREFIX))) {
        throw invalidField(
          `owner.contact.${name}`,
          'stands for what cannot be shown',
          'the value itself, or leave it out',
        );
      }
    }
    if (this.mode === 'plain') return { ...bare, contact };
    if (!this.encrypts) throw notKept(this.mode);
    const same = before?.id === owner.id && before.contact ? before.contact : {};
    const known = await this.revealDeep(same);
    const seal = await this.sealer('owner', owner.id).catch((error: unknown) => {
      this.logger.error({ err: error }, 'the contact of an owner cannot be kept');
      throw unavailable(
        'The contact cannot be kept: the folder of the subject keys cannot be used. Nothing was changed.',
      );
    });
    const sealed: OwnerContact = {};
    for (const part of ['name', 'email'] as const) {
      const value = contact[part];
      if (value === undefined) continue;
      sealed[part] = known[part] === value ? same[part]! : seal(`contact.${part}`, value);
    }
    return { ...bare, contact: sealed };
  }

  /**
   * From where a decoy was presented, as it may be recorded, and what stands for the address where two of them are
   * compared: not the address, of which a hash can be guessed. As with a context, what cannot be encrypted is left out.
   */
  async presentedFrom<T extends Presented>({ address, userAgent, ...rest }: T): Promise<{ from: T; sameAs?: string }> {
    if (address === undefined) return { from: rest as T };
    const whole = { ...rest, address, ...(userAgent !== undefined && { userAgent }) } as T;
    if (this.mode === 'plain') return { from: whole, sameAs: address };
    if (!this.encrypts) return { from: rest as T };
    try {
      const seal = await this.sealer('address', address);
      const sealed = {
        ...rest,
        address: seal('presentedFrom.address', address),
        ...(userAgent !== undefined && { userAgent: seal('presentedFrom.userAgent', userAgent) }),
      } as T;
      return { from: sealed, sameAs: await this.keys.idOf('address', address) };
    } catch (error) {
      this.leftOut(error);
      return { from: rest as T };
    }
  }

  /**
   * Any JSON value with every token in it revealed that stands under the name of its own field. A value without tokens
   * comes back itself.
   */
  async revealDeep<T>(value: T): Promise<T> {
    const tokens = new Map<string, Token>();
    collect(value, '', tokens);
    if (tokens.size === 0) return value;
    const keys = new Map<string, Key>();
    for (const token of tokens.values()) {
      const name = `${token.subjectId}.${token.generation}`;
      if (!keys.has(name)) keys.set(name, await this.keyOf(token));
    }
    const shown = new Map<string, string>();
    for (const [text, token] of tokens) {
      shown.set(text, openToken(token, keys.get(`${token.subjectId}.${token.generation}`)));
    }
    return replaced(value, '', (text) => shown.get(text) ?? text) as T;
  }

  private leftOut(error: unknown): void {
    const line = this.allowance.take();
    if (line) this.logger.error({ err: error, ...line }, 'personal data is left out: it cannot be kept encrypted');
  }

  private async sealer(kind: SubjectKind, name: string): Promise<(field: PersonalField, text: string) => string> {
    const { subjectId, generation, key } = await this.keys.forNew(kind, name);
    return (field, text) => {
      const head = `${PERSONAL_TOKEN_PREFIX}${subjectId}:${generation}:${field}`;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(head));
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return `${head}:${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')}`;
    };
  }

  private async keyOf({ subjectId, generation }: Token): Promise<Key> {
    try {
      return await this.keys.find(subjectId, generation);
    } catch (error) {
      const line = this.allowance.take();
      if (line) this.logger.warn({ err: error, subjectId, ...line }, 'personal data cannot be read');
      return undefined;
    }
  }
}

/** Any JSON value with `[withheld]` for what stands in it encrypted: for those who are not to read it, with keys or not. */
export const withPersonalWithheld = <T>(value: T): T => replaced(value, '', () => PERSONAL_MARKS.withheld) as T;

/** As the settings of a process say. */
export function openPersonalData(config: PersonalDataConfig, logger: Logger) {
  const folder = config.subjectKeysDir ?? join(config.dataDir, 'subjects');
  const keys = new SubjectKeys(resolve(folder), new Sealing(config.sealingKeys));
  const personal = new PersonalData(config.personalData, keys, logger);
  if (config.personalData === 'encrypted' && !personal.encrypts) {
    logger.warn('there is no sealing key, so no personal data is kept: set KEYLEDGER_SEALING_KEYS (docs/privacy.md)');
  }
  return { keys, personal };
}

interface PersonalDataConfig {
  personalData: PersonalDataMode;
  sealingKeys: readonly SealingKey[];
  dataDir: string;
  subjectKeysDir?: string | undefined;
}

function subjectOf({ actor, clientAddress = '' }: CommandContext): [SubjectKind, string] {
  if (actor.onBehalfOf !== undefined) return ['person', actor.onBehalfOf];
  return actor.type === 'key' ? ['credential', actor.id] : ['address', clientAddress];
}

/** As it came; but for a text that would be taken for an encrypted one. */
function plainContext(context: CommandContext): CommandContext {
  const { actor, clientAddress, userAgent, ...rest } = context;
  const { onBehalfOf, ...bare } = actor;
  const kept = (text: string): string => (text.startsWith(PERSONAL_TOKEN_PREFIX) ? PERSONAL_MARKS.withheld : text);
  return {
    ...rest,
    actor: { ...bare, ...(onBehalfOf !== undefined && { onBehalfOf: kept(onBehalfOf) }) },
    ...(clientAddress !== undefined && { clientAddress }),
    ...(userAgent !== undefined && { userAgent: kept(userAgent) }),
  };
}

function notKept(mode: PersonalDataMode): RefusalError {
  const why =
    mode === 'omitted'
      ? 'this installation keeps no personal data (KEYLEDGER_PERSONAL_DATA=omitted)'
      : 'there is no sealing key to encrypt it with (KEYLEDGER_SEALING_KEYS)';
  const error = { field: 'owner.contact', message: 'cannot be kept', fix: 'leave it out' };
  return new RefusalError(refusal('UNPROCESSABLE', `The contact cannot be kept: ${why}.`, [error]));
}

function parseToken(text: string): Token | undefined {
  if (!text.startsWith(PERSONAL_TOKEN_PREFIX)) return undefined;
  const [, head = '', subjectId = '', generation, field, body = ''] = TOKEN.exec(text) ?? [];
  const known = PERSONAL_FIELDS.find((one) => one === field);
  if (!known || !SUBJECT_ID_PATTERN.test(subjectId)) return undefined;
  return { head, subjectId, generation: Number(generation), field: known, bytes: Buffer.from(body, 'base64url') };
}

function openToken({ head, bytes }: Token, key: Key): string {
  if (key === 'destroyed') return PERSONAL_MARKS.erased;
  const start = IV_BYTES + TAG_BYTES;
  if (!key || bytes.length < start) return PERSONAL_MARKS.unreadable;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES))
      .setAAD(Buffer.from(head))
      .setAuthTag(bytes.subarray(IV_BYTES, start));
    return Buffer.concat([decipher.update(bytes.subarray(start)), decipher.final()]).toString('utf8');
  } catch {
    return PERSONAL_MARKS.unreadable;
  }
}

/** A token copied to where people write freely must not be read out from there. */
const isAtHome = (field: PersonalField, member: string): boolean => field.slice(field.lastIndexOf('.') + 1) === member;

function collect(value: unknown, member: string, tokens: Map<string, Token>): void {
  if (typeof value === 'string') {
    const token = value.startsWith(PERSONAL_TOKEN_PREFIX) ? parseToken(value) : undefined;
    if (token && isAtHome(token.field, member)) tokens.set(value, token);
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, member, tokens);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) collect(item, name, tokens);
  }
}

function replaced(value: unknown, member: string, shown: (text: string) => string): unknown {
  if (typeof value === 'string') {
    const token = value.startsWith(PERSONAL_TOKEN_PREFIX) ? parseToken(value) : undefined;
    return token && isAtHome(token.field, member) ? shown(value) : value;
  }
  if (Array.isArray(value)) return value.map((item: unknown) => replaced(item, member, shown));
  if (typeof value !== 'object' || value === null) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, replaced(item, name, shown)]));
}
