import { describe, expect, it } from 'vitest';
import { isPublicAddress } from '../../src/jobs/public-address.ts';

describe('an address', () => {
  it.each([
    ['loopback', '127.0.0.1', '127.8.9.10', '::1', '0:0:0:0:0:0:0:1'],
    ['nobody', '0.0.0.0', '0.1.2.3', '::', '255.255.255.255', '240.0.0.1'],
    ['private', '10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1'],
    ['private, of IPv6', 'fc00::1', 'fdff:ffff::1', 'fec0::1'],
    ['link-local', '169.254.0.1', 'fe80::1', 'fe80::1%eth0'],
    ["a cloud's metadata", '169.254.169.254', 'fd00:ec2::254', '100.100.100.200'],
    ['IPv4 inside of IPv6', '::ffff:127.0.0.1', '::ffff:a00:1', '::ffff:8.8.8.8', '::127.0.0.1'],
    ['IPv4 behind a translation', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:4136:e378::1'],
    ['a group', '224.0.0.1', '239.255.255.250', 'ff02::1'],
    ['documentation', '192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '198.18.0.1'],
    ['no address', 'localhost', '', '127.1', '0x7f000001', '2130706433'],
  ])('of %s is not public', (_, ...addresses) => {
    for (const address of addresses) expect(isPublicAddress(address), address).toBe(false);
  });

  it('of the internet is public', () => {
    const some = [
      '1.1.1.1',
      '8.8.8.8',
      '9.255.255.255',
      '11.0.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '192.167.1.1',
    ];
    const more = [
      '100.63.255.255',
      '100.128.0.0',
      '169.253.1.1',
      '223.255.255.255',
      '2606:4700::1111',
      '2a00::1',
    ];
    for (const address of [...some, ...more]) expect(isPublicAddress(address), address).toBe(true);
  });
});
