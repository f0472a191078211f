import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseConnectionString } from './connection-string.js';
import { EventStore } from './event-store.js';

describe('a connection string', () => {
  it.each([
    ['kurrentdb://127.0.0.1:2113?tls=false', 'kurrentdb://127.0.0.1:2113?tls=false', 'kurrentdb://127.0.0.1:2113'],
    ['esdb://one:2113/?tls=true', 'kurrentdb://one:2113?tls=true', 'kurrentdb://one:2113'],
    [
      'esdb+discover://cluster.dns.name',
      'kurrentdb+discover://cluster.dns.name',
      'kurrentdb+discover://cluster.dns.name',
    ],
    [
      'kdb://a:1,b:2,c:3?nodePreference=leader',
      'kurrentdb://a:1,b:2,c:3?nodePreference=leader',
      'kurrentdb://a:1,b:2,c:3',
    ],
    ['kurrent://u:p%40w@h:1?TLS-CA-File=/ca=1.pem', 'kurrentdb://u:p%40w@h:1?tlsCAFile=/ca=1.pem', 'kurrentdb://h:1'],
  ])('%s is read', (text, forClient, shown) => {
    expect(parseConnectionString(text)).toMatchObject({ forClient, shown });
  });

  it('never lets the client report failed appends as successes', () => {
    expect(parseConnectionString('kurrentdb://h:1?throwOnAppendFailure=false').forClient).toBe('kurrentdb://h:1');
  });

  it('sends no credentials in clear', () => {
    expect(parseConnectionString('kurrentdb://admin:changeit@h:1?tls=false').forClient).toBe(
      'kurrentdb://h:1?tls=false',
    );
  });

  it.each([
    ['', 'no known scheme'],
    ['127.0.0.1:2113', 'no known scheme'],
    ['http://127.0.0.1:2113', 'no known scheme'],
    ['kurrentdb://', 'a host or the credentials'],
    ['kurrentdb://admin@h:1', 'a host or the credentials'],
    ['kurrentdb://admin:@h:1', 'a host or the credentials'],
    ['kurrentdb://a:sec@ret@h:1', 'a host or the credentials'],
    ['kurrentdb://h:port', 'a host or the credentials'],
    ['kurrentdb://h:1?tls=false?x=1', 'more than one "?"'],
    ['kurrentdb://h:1?tlss=false', 'its option "tlss" is unknown'],
    ['kurrentdb://h:1?tls', 'its option "tls" has no value'],
  ])('%s is refused with what is wrong and what would be right', (text, problem) => {
    expect(() => parseConnectionString(text)).toThrow(problem);
    expect(() => parseConnectionString(text)).toThrow(/Right would be .*(kurrentdb:\/\/|tls)/);
  });

  it('is refused where the client itself reads less than it seems to', () => {
    expect(() => new EventStore({ url: 'kurrentdb://h:1?tls=perhaps' })).toThrow('true or false is expected');
  });

  it('never shows its password, however broken the rest is', () => {
    const password = fc.stringMatching(/^[A-Za-z0-9%!.-]{8,20}$/).map((text) => `Pw${text}`);
    const tail = fc.constantFrom(
      '@h:1',
      '@h:x',
      '@h:1?zz=1',
      '@h:1?tls=maybe',
      '@',
      '@[::1]:1',
      '@h:1?keepAliveInterval=soon',
    );
    fc.assert(
      fc.property(password, tail, fc.constantFrom('esdb', 'kurrentdb', 'amqp'), (secret, rest, scheme) => {
        const said = shownBy(`${scheme}://admin:${secret}${rest}`);
        expect(said).not.toContain(secret);
      }),
      { numRuns: 50 },
    );
  });

  it('takes the password out of whatever the client says, also decoded', () => {
    const { scrub } = parseConnectionString('kurrentdb://admin:s%40lt%26pepper@h:1');
    expect(scrub('no: s%40lt%26pepper, s@lt&pepper')).toBe('no: ***, ***');
  });
});

/** Everything that a person could get to see. */
function shownBy(url: string): string {
  const said: unknown[] = [];
  const warn = console.warn;
  console.warn = (...parts: unknown[]) => said.push(...parts);
  try {
    new EventStore({ url });
    said.push(parseConnectionString(url).shown);
  } catch (error) {
    const { message, stack } = error as Error;
    said.push(message, stack, JSON.stringify(error));
  } finally {
    console.warn = warn;
  }
  return said.map(String).join('\n');
}
