import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createLogger, type Logger } from './logger.js';
import { redact, redactDeep, shownOf } from './redact.js';

const base62 = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789ABCDEFabcdefXYZxyz'), minLength: length, maxLength: length });
const word = fc.stringMatching(/^[a-z][a-z0-9]{1,11}$/);
/** A key of our format, in its parts. */
const aKey = fc.record({ prefix: word, environment: word, secretId: base62(12), secret: base62(49) });
/** Text that tries to lead the pattern astray. */
const surrounding = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...'aA0_="\\:{}/?& '), maxLength: 80 }),
  fc.tuple(word, word, base62(12), base62(49)).map((parts) => parts.join('_')),
);
const SECRET = 'S'.repeat(43) + '0Abcde';
const KEY = `acme_live_4f9kQ2LmZ7aB_${SECRET}`;
const MASK = 'acme_live_4f9kQ2LmZ7aB_…bcde';

describe('redact', () => {
  it('lets no key of our format through, whatever stands around it', () => {
    fc.assert(
      fc.property(surrounding, aKey, surrounding, (before, { prefix, environment, secretId, secret }, after) => {
        const text = redact(`${before}${prefix}_${environment}_${secretId}_${secret}${after}`);
        expect(text).not.toContain(secret);
        expect(text).not.toContain(secret.slice(0, 43));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a message', `issued ${KEY} to acme`, `issued ${MASK} to acme`],
    ['a URL', `GET /x?key=${KEY}&y=1`, `GET /x?key=${MASK}&y=1`],
    ['JSON', JSON.stringify({ key: KEY }), JSON.stringify({ key: MASK })],
    ['JSON in JSON', JSON.stringify(JSON.stringify({ secret: 'foreign-secret-1' })), String.raw`"{\"secret\":\"…\"}"`],
    ['a signing secret', 'made whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw now', 'made whsec_… now'],
    ['a header', `Authorization: Bearer ${KEY}`, `Authorization: Bearer ${MASK}`],
    ['a foreign key in a header', 'authorization: Bearer abc.def-123', 'authorization: Bearer …'],
    ['a foreign key in X-API-Key', 'X-API-Key: sk.1234567890', 'X-API-Key: …'],
    ['a foreign key in a query', '/v?api_key=1234567890&a=b', '/v?api_key=…&a=b'],
    ['an environment variable', 'KEYLEDGER_ADMIN_KEY=correct-horse-battery', 'KEYLEDGER_ADMIN_KEY=…'],
    ['the password of a URL', 'connect rediss://user:p@ss/word@host:6379/0', 'connect rediss://user:…@host:6379/0'],
    ['a key that was cut', KEY.slice(0, 50), 'acme_live_4f9kQ2LmZ7aB_…'],
  ])('masks %s', (_, text, masked) => expect(redact(text)).toBe(masked));

  it('leaves what is no secret', () => {
    const text = 'key-4f9kQ2LmZ7aB4f9kQ2 at http://127.0.0.1:7400/v1/keys: keyId=abc, 42 keys; PRECONDITION_FAILED';
    expect(redact(text)).toBe(text);
  });

  it('is quick on hostile text', () => {
    for (const part of ['://a:', 'key=', '_'.repeat(5), 'AAAAAAAAAAAA_', 'bearer ', 'Aa0', 'x-']) {
      expect(redact(part.repeat(200_000 / part.length)).length).toBeLessThanOrEqual(16_385);
    }
  });
});

describe('redactDeep', () => {
  it('hides what stands under a secret name, at any depth, and keeps what names a key', () => {
    const value = {
      headers: { Authorization: 'Basic eA==', 'x-api-key': KEY, 'user-agent': 'curl' },
      list: [{ secret: 12345678, keyId: 'k1', secretId: 's1' }],
      password: null,
      bytes: Buffer.from(KEY),
      [KEY]: 1n,
    };
    expect(redactDeep(value)).toEqual({
      headers: { Authorization: '…', 'x-api-key': MASK, 'user-agent': 'curl' },
      list: [{ secret: '…', keyId: 'k1', secretId: 's1' }],
      password: null,
      bytes: `[${KEY.length} bytes]`,
      [MASK]: '1',
    });
  });

  it('survives circles and depth', () => {
    const circle: Record<string, unknown> = { key: KEY };
    circle.self = circle;
    expect(JSON.stringify(redactDeep(circle))).not.toContain(SECRET);
  });
});

describe('shownOf', () => {
  it('shows the mask of a key of ours and nothing of another', () => {
    expect(shownOf(KEY)).toBe(MASK);
    expect(shownOf('some-foreign-key-12345')).toBeUndefined();
    expect(shownOf(`${KEY} and more`)).toBeUndefined();
  });
});

describe('the log', () => {
  const lines = (use: (logger: Logger) => void): string => {
    const written: string[] = [];
    use(createLogger('test', 'trace', { write: (line) => void written.push(line) }));
    for (const line of written) JSON.parse(line);
    return written.join('');
  };
  class Failure extends Error {
    readonly command = { args: [KEY] };
  }
  const error = new Failure(`no ${KEY}`, { cause: new Error(`because ${KEY}`) });
  const uses: [string, (logger: Logger) => void][] = [
    ['a message', (logger) => logger.info(`issued ${KEY}`)],
    ['an argument', (logger) => logger.info('issued %s %o', KEY, { a: KEY })],
    ['a field', (logger) => logger.info({ deep: { er: [KEY] } }, 'issued')],
    ['a bare error with its stack and cause', (logger) => logger.error(error)],
    ['an error among fields', (logger) => logger.error({ err: error, error })],
    ['the binding of a child', (logger) => logger.child({ by: KEY }).info('x')],
    ['the name of a field', (logger) => logger.info({ [KEY]: 1 }, 'x')],
  ];
  it.each(uses)('holds no secret from %s', (_, use) => {
    const text = lines(use);
    expect(text).toContain('…bcde');
    expect(text).not.toContain(SECRET);
  });

  it('keeps the message, the stack and the fields of an error', () => {
    const line = JSON.parse(lines((logger) => logger.error(new Failure('plain words')))) as Record<string, never>;
    expect(line).toMatchObject({ level: 'error', msg: 'plain words', err: { message: 'plain words' } });
    expect(line['err']?.['stack']).toContain('redact.spec');
  });
});
