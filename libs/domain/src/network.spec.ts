import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addressAllowed, isAddressBlock, isOriginPattern, originAllowed } from './network.js';

const octet = fc.integer({ min: 0, max: 255 });
const v4 = fc.tuple(octet, octet, octet, octet);
const asNumber = (octets: readonly number[]) => octets.reduce((sum, part) => sum * 256 + part, 0);

describe('isAddressBlock', () => {
  it.each([
    '203.0.113.7',
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.1.2.3/8',
    '203.0.113.7/32',
    '::1',
    '::/0',
    '2001:db8::/32',
    '2001:DB8::1/128',
    '::ffff:10.0.0.1',
    '::ffff:10.0.0.0/104',
  ])('accepts %s', (text) => {
    expect(isAddressBlock(text)).toBe(true);
  });

  it.each([
    '',
    ' 10.0.0.1',
    '10.0.0.1 ',
    '10.0.0.1\n',
    '10.0.0',
    '10.1',
    '1',
    '2130706433',
    '0x7f.0.0.1',
    '010.0.0.1',
    '010.0.0.0/8',
    '10/8',
    '10.0.0.256',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/8.0',
    '10.0.0.0/255.0.0.0',
    '::1/129',
    '1::2::3',
    '[::1]',
    'fe80::1%eth0',
    'fe80::%eth0/64',
    '\u0661.1.1.1',
    'localhost',
    '*',
  ])('refuses %j', (text) => {
    expect(isAddressBlock(text)).toBe(false);
  });
});

describe('addressAllowed', () => {
  it.each<[string, string, boolean]>([
    ['203.0.113.7', '203.0.113.7', true],
    ['203.0.113.7', '203.0.113.8', false],
    ['203.0.113.0/24', '203.0.113.255', true],
    ['203.0.113.0/24', '203.0.114.0', false],
    ['10.1.2.3/8', '10.255.0.1', true],
    ['0.0.0.0/0', '198.51.100.1', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:db8::1', '2001:0DB8:0:0:0:0:0:1', true],
    ['::/0', '2001:db8::1', true],
    // An IPv4 address is the same in either writing, and no other IPv6 block holds it.
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '::ffff:a01:203', true],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['::ffff:10.0.0.0/104', '10.200.0.1', true],
    ['::ffff:10.0.0.0/104', '11.0.0.1', false],
    ['::ffff:10.0.0.0/104', '::ffff:10.200.0.1', true],
    ['::ffff:0:0/96', '198.51.100.1', true],
    ['::/0', '10.0.0.1', false],
    ['::ffff:10.0.0.0/64', '10.0.0.1', false],
    ['::ffff:10.0.0.0/64', '::9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    // A zone says on which link, not which address.
    ['fe80::/10', 'fe80::1%eth0', true],
    // What is no address lies nowhere, not even in everything.
    ['0.0.0.0/0', '', false],
    ['0.0.0.0/0', '10.0.0.1:8080', false],
    ['0.0.0.0/0', '10.0.0.1, 10.0.0.2', false],
    ['0.0.0.0/0', '10.1', false],
    ['0.0.0.0/0', '010.0.0.1', false],
    ['0.0.0.0/0', '2130706433', false],
    ['0.0.0.0/0', '0.0.0.0/0', false],
    ['::/0', '[::1]', false],
    // What is no block holds nothing.
    ['junk', '10.0.0.1', false],
  ])('with %s, %s: %s', (block, address, allowed) => {
    expect(addressAllowed([block], address)).toBe(allowed);
  });

  it('allows what any one of the blocks holds, and nothing where there are none', () => {
    expect(addressAllowed(['192.0.2.0/24', 'junk', '2001:db8::/32'], '2001:db8::1')).toBe(true);
    expect(addressAllowed([], '10.0.0.1')).toBe(false);
  });

  it('holds for IPv4 exactly the addresses that share the first bits', () => {
    const near = fc.tuple(v4, fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 31 }));
    fc.assert(
      fc.property(near, ([network, bits, flipped]) => {
        const size = 2 ** (32 - bits);
        const other = (asNumber(network) ^ (1 << flipped)) >>> 0;
        const octets = [24, 16, 8, 0].map((shift) => (other >>> shift) & 255);
        const inside = Math.floor(other / size) === Math.floor(asNumber(network) / size);
        expect(addressAllowed([`${network.join('.')}/${bits}`], octets.join('.'))).toBe(inside);
        expect(addressAllowed([`${network.join('.')}/${bits}`], `::ffff:${octets.join('.')}`)).toBe(inside);
      }),
    );
  });

  it('never throws, and says no where a text is no address', () => {
    const junk = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcf.:/%[]x') }));
    fc.assert(
      fc.property(junk, junk, (block, address) => {
        const allowed = addressAllowed([block, '0.0.0.0/0', '::/0'], address);
        if (allowed) expect(isAddressBlock(address.replace(/%.*$/, ''))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('isOriginPattern', () => {
  it.each([
    'https://app.example.com',
    'http://localhost:3000',
    'https://*.example.com',
    'https://*.example.com:8443',
    'http://127.0.0.1:8080',
    'https://xn--bcher-kva.example',
    'https://example.com:65535',
  ])('accepts %s', (text) => {
    expect(isOriginPattern(text)).toBe(true);
  });

  it.each([
    '',
    '*',
    'https://*',
    'https://',
    'example.com',
    'https://example.com/',
    'https://example.com/path',
    'https://example.com?x',
    'https://user@example.com',
    'https://*.*.example.com',
    'https://app.*.com',
    'https://*example.com',
    'HTTPS://example.com',
    'https://Example.com',
    'https://b\u00fccher.example',
    'ftp://example.com',
    'javascript://example.com',
    'https://example.com\n',
    ' https://example.com',
    'https://example..com',
    'https://example.com:',
    'https://example.com:65536',
    'https://example.com:99999',
    'https://1.2.3.256',
    'https://127.1',
    'https://2130706433',
    'https://xn--a.com',
    `https://${'a'.repeat(250)}.com`,
  ])('refuses %j', (text) => {
    expect(isOriginPattern(text)).toBe(false);
  });
});

describe('originAllowed', () => {
  it.each<[string, string, boolean]>([
    ['https://app.example.com', 'https://app.example.com', true],
    ['https://app.example.com', 'https://app.example.com/a/page?with=query#and', true],
    ['https://app.example.com', 'https://APP.EXAMPLE.COM', true],
    ['https://app.example.com', 'https://app.example.com:443', true],
    ['https://app.example.com:443', 'https://app.example.com', true],
    ['https://app.example.com', 'http://app.example.com', false],
    ['https://app.example.com', 'https://app.example.com:8443', false],
    ['https://app.example.com', 'https://app.example.com.evil.test', false],
    ['https://app.example.com', 'https://evil.test/https://app.example.com', false],
    ['https://app.example.com', 'https://app.example.com@evil.test', false],
    ['https://app.example.com', 'https://sub.app.example.com', false],
    ['https://*.example.com', 'https://app.example.com', true],
    ['https://*.example.com', 'https://a.b.example.com', true],
    ['https://*.example.com', 'https://example.com', false],
    ['https://*.example.com', 'https://evilexample.com', false],
    ['https://*.example.com', 'https://app.example.com:8443', false],
    ['https://*.example.com:8443', 'https://app.example.com:8443', true],
    ['https://*.example.com:443', 'https://app.example.com', true],
    ['https://*.example.com', 'http://app.example.com', false],
    ['https://*.example.com', 'https://app.example.com.evil.test', false],
    ['https://*.example.com', 'https://evil.test/.example.com', false],
    ['https://app.example.com', 'null', false],
    ['https://app.example.com', '', false],
    ['https://app.example.com', 'app.example.com', false],
    ['https://app.example.com', 'blob:https://app.example.com/1', false],
    ['junk', 'https://app.example.com', false],
    ['https://app.example.com:99999', 'https://app.example.com', false],
    ['https://*.example.com:99999', 'https://app.example.com', false],
  ])('with %s, %s: %s', (pattern, origin, allowed) => {
    expect(originAllowed([pattern], origin)).toBe(allowed);
  });

  it('never throws for a pattern that was accepted, nor for any origin', () => {
    const part = fc.string({ unit: fc.constantFrom(...'ax0129-.'), minLength: 1, maxLength: 8 });
    const pattern = fc
      .tuple(fc.constantFrom('http://', 'https://', 'https://*.'), part, fc.option(fc.nat(99_999), { nil: undefined }))
      .map(([scheme, host, port]) => scheme + host + (port === undefined ? '' : `:${port}`));
    fc.assert(
      fc.property(pattern, fc.oneof(fc.webUrl(), fc.string()), (accepted, origin) => {
        fc.pre(isOriginPattern(accepted));
        expect(typeof originAllowed([accepted], origin)).toBe('boolean');
        const own = accepted.replace('*.', 'sub.');
        if (URL.canParse(own)) expect([accepted, originAllowed([accepted], own)]).toEqual([accepted, true]);
      }),
      { numRuns: 1_000 },
    );
  });
});
