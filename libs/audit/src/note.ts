import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { Malformed } from './envelope.js';

/** C2SP signed-note: https://c2sp.org/signed-note@v1.0.0, with its Ed25519 signatures (type 0x01). */
const ED25519 = 1;
const KEY_BYTES = 32;
const ID_BYTES = 4;
const SIGNATURE_BYTES = 64;
/** DER of an Ed25519 key up to its 32 bytes: RFC 8410 sections 4 and 7. */
const PUBLIC_DER = Buffer.from('302a300506032b6570032100', 'hex');
const PRIVATE_DER = Buffer.from('302e020100300506032b657004220420', 'hex');
const PRIVATE_PREFIX = 'PRIVATE+KEY+';
/** The standard asks for 16; more than this is nobody's set of witnesses. */
const MAX_SIGNATURES = 64;

/** A public key with the name under which it signs. */
export interface VerifierKey {
  name: string;
  /** First 4 bytes of SHA-256(name || 0x0A || 0x01 || public key), as hex. */
  id: string;
  publicKey: KeyObject;
}

export interface SignerKey extends VerifierKey {
  privateKey: KeyObject;
}

/** A note whose signatures by known keys are all good, and there is one at least. */
export interface OpenedNote {
  /** What was signed: ends in a newline. */
  text: string;
  signedBy: VerifierKey[];
}

/** A note that proves nothing. */
export class NoteRefused extends Error {
  override readonly name = 'NoteRefused';
  constructor(
    readonly code: 'MALFORMED' | 'BAD_SIGNATURE' | 'UNKNOWN_KEY',
    message: string,
  ) {
    super(message);
  }
}

/**
 * A verifier key's text, `name+id+base64(0x01 || public key)`.
 * @throws Malformed
 */
export function parseVerifierKey(vkey: string): VerifierKey {
  // Base64 may hold `+` itself, so only the first two separate.
  const [, name = '', id = '', encoded = ''] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(vkey) ?? [];
  if (name === '') throw new Malformed('a verifier key is written name+id+base64, with an id of 8 hex digits');
  const publicKey = publicKeyOf(keyBytes(encoded, 'verifier key'));
  return checked({ name, id, publicKey }, id);
}

export function formatVerifierKey({ name, id, publicKey }: VerifierKey): string {
  return `${name}+${id}+${Buffer.concat([Buffer.of(ED25519), rawOf(publicKey)]).toString('base64')}`;
}

/**
 * A signing key's text, `PRIVATE+KEY+name+id+base64(0x01 || seed)`: what Go's sumdb/note and its tools read and write.
 * @throws Malformed; the message holds nothing of the key
 */
export function parseSignerKey(skey: string): SignerKey {
  const [, name = '', id = '', encoded = ''] = /^PRIVATE\+KEY\+([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(skey.trim()) ?? [];
  if (name === '') throw new Malformed('a signing key is written PRIVATE+KEY+name+id+base64');
  const seed = keyBytes(encoded, 'signing key');
  const privateKey = createPrivateKey({ key: Buffer.concat([PRIVATE_DER, seed]), format: 'der', type: 'pkcs8' });
  return checked({ name, id, privateKey, publicKey: createPublicKey(privateKey) }, id);
}

/**
 * A new signing key as text, to be kept outside event store and Redis.
 * @param name by convention the log's origin, e.g. `keys.example.com/audit`
 * @throws Malformed for a name with spaces or `+`
 */
export function generateSignerKey(name: string): string {
  checkName(name);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-KEY_BYTES);
  const encoded = Buffer.concat([Buffer.of(ED25519), seed]).toString('base64');
  return `${PRIVATE_PREFIX}${name}+${keyId(name, publicKey)}+${encoded}`;
}

/**
 * Text and signatures. Signing is deterministic: the same text and keys give the same note.
 * @throws Malformed for a text that no note can hold
 */
export function signNote(text: string, signers: readonly SignerKey[]): string {
  const problem = problemOfText(text);
  if (problem !== undefined) throw new Malformed(problem);
  if (signers.length === 0) throw new Malformed('a note needs a signature');
  const lines = signers.map(({ name, id, privateKey }) => {
    const signature = sign(null, Buffer.from(text, 'utf8'), privateKey);
    return `— ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/**
 * Signatures of keys that are not known are ignored; one of a known key that is not good refuses the whole note.
 * @throws NoteRefused
 */
export function openNote(note: string, known: readonly VerifierKey[]): OpenedNote {
  const { text, signatures } = splitNote(note);
  const signedBy: VerifierKey[] = [];
  for (const { name, id, signature } of signatures) {
    const key = known.find((one) => one.name === name && one.id === id);
    if (!key || signedBy.includes(key)) continue;
    const good =
      signature.length === SIGNATURE_BYTES && verify(null, Buffer.from(text, 'utf8'), key.publicKey, signature);
    if (!good) throw new NoteRefused('BAD_SIGNATURE', `the signature of ${name}+${id} does not fit the text`);
    signedBy.push(key);
  }
  if (signedBy.length === 0) {
    const names = signatures.map(({ name, id }) => `${name}+${id}`).join(', ');
    throw new NoteRefused('UNKNOWN_KEY', `it is signed by none of the trusted keys, but by ${names}`);
  }
  return { text, signedBy };
}

/** The text of a note, whoever signed it: to be shown as evidence, never to be believed. @throws NoteRefused */
export function unverifiedText(note: string): string {
  return splitNote(note).text;
}

interface SignatureLine {
  name: string;
  id: string;
  signature: Buffer;
}

const SIGNATURE_LINE = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u;

function splitNote(note: string): { text: string; signatures: SignatureLine[] } {
  const end = note.lastIndexOf('\n\n');
  const text = note.slice(0, end + 1);
  const block = note.slice(end + 2);
  const problem = end < 1 || !block.endsWith('\n') ? 'it has no block of signatures' : problemOfText(text);
  if (problem !== undefined) throw new NoteRefused('MALFORMED', problem);
  const lines = block.slice(0, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw new NoteRefused('MALFORMED', `more than ${MAX_SIGNATURES} signatures`);
  return { text, signatures: lines.map(signatureOf) };
}

function signatureOf(line: string): SignatureLine {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  if (name === '' || bytes.length <= ID_BYTES || bytes.toString('base64') !== encoded) {
    throw new NoteRefused('MALFORMED', 'a line below the text is no signature');
  }
  return { name, id: bytes.toString('hex', 0, ID_BYTES), signature: bytes.subarray(ID_BYTES) };
}

function problemOfText(text: string): string | undefined {
  if (!text.endsWith('\n')) return 'its text does not end in a newline';
  // Control characters but the newline, and what would not survive UTF-8.
  if (/[^\P{Cc}\n\u007f-\u009f]|\p{Surrogate}/u.test(text)) return 'its text holds a control character';
  return undefined;
}

function checkName(name: string): void {
  if (!/^[^\s+]+$/u.test(name)) throw new Malformed('the name of a key is not empty and has neither spaces nor +');
}

function checked<K extends VerifierKey>(key: K, id: string): K {
  checkName(key.name);
  if (keyId(key.name, key.publicKey) !== id) throw new Malformed(`the id ${id} does not belong to this name and key`);
  return key;
}

function keyBytes(encoded: string, what: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded || bytes.length !== 1 + KEY_BYTES || bytes[0] !== ED25519) {
    throw new Malformed(
      `a ${what} ends in the base64 of 0x01 and 32 bytes; other kinds than Ed25519 are not known here`,
    );
  }
  return bytes.subarray(1);
}

function publicKeyOf(raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([PUBLIC_DER, raw]), format: 'der', type: 'spki' });
}

function rawOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
}

function keyId(name: string, publicKey: KeyObject): string {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(Buffer.of(ED25519))
    .update(rawOf(publicKey))
    .digest('hex')
    .slice(0, 2 * ID_BYTES);
}
