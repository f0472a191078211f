import { parseInstant, type Instant } from '@keyledger/contracts';
import type { StoredEvent } from '@keyledger/event-store';
import { canonicalJson, lendCanonical, NotJson, type Json } from './canonical.js';
import { LEAF_PREFIX, sha256, type Hash } from './merkle.js';

/**
 * A leaf of the audit tree: one event as it is stored. What is proved is the canonical JSON of this, so its members are
 * for ever.
 */
export interface Leaf {
  /** Place among all leaves, from 0, gapless. */
  index: number;
  id: string;
  stream: string;
  revision: number;
  type: string;
  recordedAt: Instant;
  /** In the event store's whole log, in decimal: JSON's numbers are too short for it. */
  position: string;
  /**
   * The JSON value as stored. Everything of ours has `data` and `metadata`; the other members are there so that no
   * event, whoever wrote it, is without a leaf.
   */
  data?: Json;
  /** JSON that has no canonical form: a lone surrogate, a depth beyond reason. */
  dataText?: string;
  /** Bytes that are no JSON. */
  dataBase64?: string;
  metadata?: Json;
  metadataText?: string;
  metadataBase64?: string;
}

/** The leaf of an event at its place in the tree. */
export function leafOf(index: number, event: StoredEvent): Leaf {
  const { data, metadata } = event;
  return {
    ...envelopeOf(index, event),
    ...payload('data', data),
    ...(metadata !== undefined && payload('metadata', metadata)),
  };
}

function envelopeOf(index: number, { id, stream, revision, type, recordedAt, position }: StoredEvent): Leaf {
  return { index, id, stream, revision, type, recordedAt, position: String(position) };
}

function payload(name: 'data' | 'metadata', value: unknown): Partial<Leaf> {
  if (value instanceof Uint8Array) return { [`${name}Base64`]: Buffer.from(value).toString('base64') };
  try {
    canonicalJson(value);
    return { [name]: value as Json };
  } catch (error) {
    if (error instanceof NotJson) return { [`${name}Text`]: JSON.stringify(value) };
    throw error;
  }
}

/** The event of a leaf: `leafOf` backwards. */
export function storedOf(leaf: Leaf): StoredEvent {
  const { id, stream, revision, type, recordedAt, position } = leaf;
  const of = (value?: Json, text?: string, base64?: string): unknown => {
    if (base64 !== undefined) return Buffer.from(base64, 'base64');
    return text === undefined ? value : (JSON.parse(text) as unknown);
  };
  const data = of(leaf.data, leaf.dataText, leaf.dataBase64);
  const metadata = of(leaf.metadata, leaf.metadataText, leaf.metadataBase64);
  return { id, stream, revision, type, recordedAt, position: BigInt(position), data, metadata };
}

/** The canonical JSON of `leafOf`: the bytes that are hashed. */
export function eventBytes(index: number, event: StoredEvent): Buffer {
  return lendEvent(index, event, (bytes) => Buffer.from(bytes));
}

/** `leafHash` of `eventBytes`, at a third of the price. */
export function hashOfEvent(index: number, event: StoredEvent): Hash {
  return lendEvent(index, event, sha256, LEAF_PREFIX);
}

/** The bytes of an event's leaf as `lendCanonical` gives them. What is of ours is JSON: no need to look first. */
function lendEvent<T>(index: number, event: StoredEvent, use: (bytes: Buffer) => T, first?: Uint8Array): T {
  const { id, stream, revision, type, recordedAt, position, data, metadata } = event;
  const envelope = { data, id, index, metadata, position: String(position), recordedAt, revision, stream, type };
  try {
    return lendCanonical(envelope, use, first);
  } catch (error) {
    if (error instanceof NotJson) return lendCanonical(leafOf(index, event), use, first);
    throw error;
  }
}

/** A text is not what it says it is. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/**
 * Reads a leaf from its bytes.
 * @throws Malformed unless they are exactly the canonical JSON of a leaf
 */
export function parseLeaf(bytes: Uint8Array): Leaf {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let value: unknown;
  let canonical: boolean;
  try {
    value = JSON.parse(text);
    // On bytes: text would hide what is no UTF-8.
    canonical = lendCanonical(value, (written) => written.equals(bytes));
  } catch (error) {
    throw new Malformed(`it is no JSON: ${(error as Error).message}`);
  }
  const problem = problemOf(value);
  if (problem !== undefined) throw new Malformed(problem);
  if (!canonical) throw new Malformed('it is not in canonical form (RFC 8785)');
  return value as Leaf;
}

const NAMED = ['id', 'index', 'position', 'recordedAt', 'revision', 'stream', 'type'];
const DATA = ['data', 'dataText', 'dataBase64'];
const METADATA = ['metadata', 'metadataText', 'metadataBase64'];
const POSITION = /^(?:0|[1-9]\d{0,19})$/;

function problemOf(value: unknown): string | undefined {
  if (!isObject(value)) return 'it is no JSON object';
  const names = Object.keys(value);
  const unknown = names.find((name) => !NAMED.includes(name) && !DATA.includes(name) && !METADATA.includes(name));
  if (unknown !== undefined) return `no leaf has a member ${JSON.stringify(unknown)}`;
  const { index, revision, recordedAt, position } = value;
  for (const name of ['id', 'stream', 'type']) if (typeof value[name] !== 'string') return `its ${name} is no text`;
  if (!isCount(index)) return 'its index is no whole number from 0 on';
  if (!isCount(revision)) return 'its revision is no whole number from 0 on';
  if (typeof recordedAt !== 'string' || parseInstant(recordedAt) !== recordedAt) return 'its recordedAt is no instant';
  if (typeof position !== 'string' || !POSITION.test(position)) return 'its position is no decimal number';
  if (names.filter((name) => DATA.includes(name)).length !== 1) return 'it has not data in exactly one form';
  if (names.filter((name) => METADATA.includes(name)).length > 1) return 'it has metadata in more than one form';
  const texts = ['dataText', 'dataBase64', 'metadataText', 'metadataBase64'];
  const wrong = texts.find((name) => value[name] !== undefined && typeof value[name] !== 'string');
  return wrong === undefined ? undefined : `its ${wrong} is no text`;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
