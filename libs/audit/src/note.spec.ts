import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { contradictions, openCheckpoint, parseCheckpoint, signCheckpoint, type Head } from './checkpoint.js';
import { Malformed } from './envelope.js';
import { leavesOf, naiveRoot } from './merkle.spec-support.js';
import {
  formatVerifierKey,
  generateSignerKey,
  NoteRefused,
  openNote,
  parseSignerKey,
  parseVerifierKey,
  signNote,
} from './note.js';

/** Of C2SP signed-note. */
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const TEXT = 'This is an example message.\n';
const NOTE = `${TEXT}\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n`;
/** Of the documentation of golang.org/x/mod/sumdb/note. */
const PETER = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz';
const PETERS_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETERS_NOTE = `${PETERS_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

const known = parseVerifierKey(VKEY);
const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const other = parseSignerKey(generateSignerKey('keys.example.com/audit'));

describe('a note', () => {
  it('is opened with the key of the published vector', () => {
    expect(openNote(NOTE, [known])).toEqual({ text: TEXT, signedBy: [known] });
    expect(formatVerifierKey(known)).toBe(VKEY);
  });

  it('is signed as the published vector of Go is, from its own key text', () => {
    const peter = parseSignerKey(`${PETER}\n`);
    expect(signNote(PETERS_TEXT, [peter])).toBe(PETERS_NOTE);
    expect(formatVerifierKey(peter)).toBe('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
  });

  it('ignores signatures of keys that are not known, the same name or the same id included', () => {
    const note = signNote(TEXT, [other, signer]);
    expect(openNote(note, [signer]).signedBy).toEqual([signer]);
    expect(openNote(note, [signer, other, known]).signedBy).toEqual([other, signer]);
    expect(refusalOf(note, [known])).toMatchObject({ code: 'UNKNOWN_KEY' });
    expect(refusalOf(note, [{ ...signer, name: 'another' }])).toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  it('is refused whole for one bad signature of a known key, however many good ones there are', () => {
    const [, , good = '', bad = ''] = signNote(TEXT, [signer, other]).split('\n');
    const wrong = signNote('Another text.\n', [other]).split('\n')[2] ?? '';
    expect(bad).not.toBe(wrong);
    expect(refusalOf(`${TEXT}\n${good}\n${wrong}\n`, [signer, other])).toMatchObject({ code: 'BAD_SIGNATURE' });
    expect(openNote(`${TEXT}\n${good}\n${wrong}\n`, [signer]).signedBy).toEqual([signer]);
  });

  it('takes sixteen signatures, and texts with empty lines', () => {
    const many = Array.from({ length: 15 }, (_, n) => parseSignerKey(generateSignerKey(`witness-${n}.example`)));
    const note = signNote('one\n\ntwo\n', [...many, signer]);
    expect(openNote(note, [signer])).toMatchObject({ text: 'one\n\ntwo\n' });
  });

  it('with any one byte changed is never opened as another text', () => {
    const bytes = Buffer.from(signNote(TEXT, [signer]));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(at) ^ flip, at);
        expect(refusalOf(changed.toString('utf8'), [signer])).toBeInstanceOf(NoteRefused);
      }),
    );
  });

  it.each([
    ['no signatures', TEXT],
    ['no newline at its end', NOTE.slice(0, -1)],
    ['a hyphen for the dash', NOTE.replace('—', '-')],
    ['a tab in its text', NOTE.replace('an example', 'an\texample')],
    ['base64 with bits left over', NOTE.replace('yaQM=', 'yaQN=')],
    ['no key id', `${TEXT}\n— name AAAA\n`],
    ['a line behind the signatures', `${NOTE}more\n`],
    ['nothing', ''],
  ])('with %s is malformed', (_, note) => {
    expect(refusalOf(note, [known])).toMatchObject({ code: 'MALFORMED' });
  });
});

describe('a key', () => {
  it('made here signs what its public half verifies', () => {
    const verifier = parseVerifierKey(formatVerifierKey(signer));
    expect(openNote(signNote(TEXT, [signer]), [verifier]).signedBy).toEqual([verifier]);
  });

  it.each([
    '',
    'example.com/foo',
    VKEY.replace('530d903a', '530d903b'),
    VKEY.replace('/foo', '/fop'),
    VKEY.replace('+Aek', '+Bek'),
    `${VKEY}A`,
    VKEY.replace('example.com', 'example com'),
  ])('is refused as %p', (text) => {
    expect(() => parseVerifierKey(text)).toThrow(Malformed);
  });

  it('is refused without showing any of a signing key', () => {
    for (const text of [PETER.replace('c74f', 'c74e'), PETER.slice(0, -4), PETER.replace('PRIVATE', 'SECRET')]) {
      expect(() => parseSignerKey(text)).toThrow(Malformed);
      expect(() => parseSignerKey(text)).toThrow(/^(?!.*AYEK)/);
    }
    expect(() => generateSignerKey('a b')).toThrow('neither spaces nor +');
  });
});

describe('a checkpoint', () => {
  const root = naiveRoot(leavesOf(3));
  const checkpoint = { origin: 'keys.example.com/audit', size: 3, root };

  it('says origin, size and root, and nothing else', () => {
    const note = signCheckpoint(checkpoint, [signer]);
    expect(note.split('\n').slice(0, 4)).toEqual(['keys.example.com/audit', '3', root.toString('base64'), '']);
    expect(openCheckpoint(note, [signer])).toEqual({ ...checkpoint, signedBy: [signer] });
  });

  it('of the standard is read', () => {
    const text = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';
    expect(parseCheckpoint(text)).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20852163 });
  });

  it.each([
    ['an extension line', (text: string) => `${text}more\n`],
    ['a leading zero', (text: string) => text.replace('\n3\n', '\n03\n')],
    ['a sign', (text: string) => text.replace('\n3\n', '\n+3\n')],
    ['a size beyond 2^53', (text: string) => text.replace('\n3\n', '\n9007199254740993\n')],
    ['no origin', (text: string) => text.replace(/^.*\n/, '\n')],
    ['a short root', (text: string) => text.replace(/\n[^\n]*\n$/, '\nAAAA\n')],
    ['no newline at its end', (text: string) => text.slice(0, -1)],
  ])('with %s is refused', (_, change) => {
    const text = `keys.example.com/audit\n3\n${root.toString('base64')}\n`;
    expect(() => parseCheckpoint(change(text))).toThrow(Malformed);
  });

  it('contradicts another of the same size and another root, and an older tree with a newer date', () => {
    const head = (size: number, seed: number, at: string): Head => {
      const one = { origin: 'log', size, root: naiveRoot(leavesOf(seed)) };
      return { ...one, at, note: signCheckpoint(one, [signer]) };
    };
    const [a, b] = [head(3, 3, '2026-01-01T00:00:00.000Z'), head(5, 5, '2026-01-02T00:00:00.000Z')];
    const [fork, old] = [head(5, 9, '2026-01-03T00:00:00.000Z'), head(4, 4, '2026-01-04T00:00:00.000Z')];
    expect(contradictions([b, a, b])).toEqual([]);
    expect(contradictions([fork, a, b])).toMatchObject([{ code: 'FORK', evidence: [b.note, fork.note] }]);
    expect(contradictions([old, b, a])).toMatchObject([{ code: 'ROLLBACK', evidence: [b.note, old.note] }]);
  });
});

function refusalOf(note: string, keys: Parameters<typeof openNote>[1]): unknown {
  try {
    return openNote(note, keys);
  } catch (error) {
    return error;
  }
}
