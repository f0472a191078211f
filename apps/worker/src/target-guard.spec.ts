import { describe, expect, it } from '@jest/globals';
import { ownPorts, TargetGuard } from './target-guard.js';

const INSIDE = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '::ffff:a9fe:a9fe',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fe80::1%eth0',
  'ff02::1',
];

describe('without a setting', () => {
  const guard = new TargetGuard([], new Set());

  it.each(INSIDE)('%s is refused', (address) => {
    expect(guard.problemWith(address, 443)).toContain('leads to');
  });

  it.each(['1.1.1.1', '93.184.216.34', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111', '::ffff:1.1.1.1'])(
    '%s is allowed',
    (address) => {
      expect(guard.problemWith(address, 443)).toBeUndefined();
    },
  );

  it('what is no address is refused', () => {
    expect(guard.problemWith('localhost', 443)).toContain('no address');
  });
});

describe('what the operator allows', () => {
  const guard = new TargetGuard(['127.0.0.0/8', '::1', '::ffff:10.0.0.0/104'], new Set([7400]));

  it('is allowed, in every form of the address, and nothing beside it', () => {
    for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '::1', '10.9.8.7']) {
      expect(guard.problemWith(address, 9000)).toBeUndefined();
    }
    for (const address of ['192.168.0.1', '::2', 'fd00::1']) {
      expect(guard.problemWith(address, 9000)).toContain('KEYLEDGER_ALLOWED_TARGETS');
    }
  });

  it('does not open the ports of our own services', () => {
    expect(guard.problemWith('127.0.0.1', 7400)).toContain('Keyledger itself');
    expect(guard.problemWith('1.1.1.1', 7400)).toBeUndefined();
  });
});

it('knows the ports of our own services from all settings that name one', () => {
  const urls = ['redis+sentinel://u:p@a:26380,b/main?db=0', 'kurrentdb://[::1]:2114?tls=false'];
  expect([...ownPorts({ ports: [7400, 7401], urls })]).toEqual(expect.arrayContaining([7400, 7401, 26380, 2114, 6379]));
});
