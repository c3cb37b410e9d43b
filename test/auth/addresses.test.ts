import { describe, expect, it } from 'vitest';
import { ClientAddresses } from '../../src/auth/addresses.ts';

const PROXIES = ['10.0.0.0/8', '192.0.2.7', 'fd00::/8'];

function addressOf(remoteAddress: string, ...forwardedFor: string[]): string {
  const rawHeaders = forwardedFor.flatMap((value) => ['X-Forwarded-For', value]);
  return new ClientAddresses(PROXIES).of({ remoteAddress, rawHeaders });
}

describe('the address of a client', () => {
  it('is the connection’s where no trusted proxy connects, whatever the headers say', () => {
    expect(addressOf('203.0.113.9', '198.51.100.1')).toBe('203.0.113.9');
    expect(
      new ClientAddresses(null).of({ remoteAddress: '10.0.0.1', rawHeaders: ['x-forwarded-for', '1.2.3.4'] }),
    ).toBe('10.0.0.1');
  });

  it('is the last one that no trusted proxy stands behind, of all headers of the name', () => {
    expect(addressOf('10.1.2.3', '198.51.100.1')).toBe('198.51.100.1');
    expect(addressOf('::ffff:10.1.2.3', '1.1.1.1, 198.51.100.1, 192.0.2.7')).toBe('198.51.100.1');
    expect(addressOf('10.1.2.3', '1.1.1.1', '198.51.100.1')).toBe('198.51.100.1');
    expect(addressOf('10.1.2.3', '10.0.0.1, 10.0.0.2')).toBe('10.0.0.1');
  });

  it('is the proxy’s own where its header names no address', () => {
    for (const header of ['unknown', '', '_hidden', '1.2.3']) {
      expect(addressOf('10.1.2.3', `1.1.1.1, ${header}`)).toBe('10.1.2.3');
    }
    expect(addressOf('10.1.2.3')).toBe('10.1.2.3');
  });

  it('has no port, brackets or zone', () => {
    expect(addressOf('10.1.2.3', '198.51.100.1:4711')).toBe('198.51.100.1');
    expect(addressOf('fd00::1%eth0', '[2001:db8:1:2::3]:4711')).toBe('2001:db8:1:2::/64');
  });

  it('of IPv6 is the first 64 bits, however they are written', () => {
    for (const text of ['2001:db8::1', '2001:0DB8:0:0:1:2:3:4', '2001:db8::9:1.2.3.4']) {
      expect(addressOf(text)).toBe('2001:db8:0:0::/64');
    }
    expect(addressOf('::1')).toBe('0:0:0:0::/64');
    expect(addressOf('2001:db8:1:2:3::')).toBe('2001:db8:1:2::/64');
  });
});
