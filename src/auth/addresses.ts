/**
 * Addresses: who sends a request, as far as that can be known behind proxies. Owns: which proxies' word counts, and how
 * much of an address is one sender. Invariant: a header that no trusted proxy has written changes nothing.
 */
import { BlockList, isIP } from 'node:net';

/** A request, as far as it says where it comes from. */
export interface Sender {
  /** Of the connection. */
  readonly remoteAddress: string;
  /** Name, value, name, value …, as received. */
  readonly rawHeaders: readonly string[];
}

export class ClientAddresses {
  readonly #trusted = new BlockList();

  /** @param proxies addresses and networks (`10.0.0.0/8`) whose `x-forwarded-for` counts; null: none */
  constructor(proxies: readonly string[] | null) {
    for (const proxy of proxies ?? []) {
      const [address = '', bits] = proxy.split('/');
      if (bits === undefined) this.#trusted.addAddress(address, familyOf(address));
      else this.#trusted.addSubnet(address, Number(bits), familyOf(address));
    }
  }

  /**
   * Returns whom to count a request for: the last address that no trusted proxy stands behind. Of an IPv6 address the
   * first 64 bits: one client has as many of the others as it likes.
   */
  of({ remoteAddress, rawHeaders }: Sender): string {
    let address = plain(remoteAddress);
    if (!this.#isTrusted(address)) return networkOf(address);
    const hops = forwardedFor(rawHeaders);
    for (let hop = hops.pop(); hop !== undefined; hop = hops.pop()) {
      const next = plain(hop);
      if (isIP(next) === 0) break;
      address = next;
      if (!this.#isTrusted(address)) break;
    }
    return networkOf(address);
  }

  #isTrusted(address: string): boolean {
    return isIP(address) !== 0 && this.#trusted.check(address, familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** Several headers of the name are one list (RFC 9110, section 5.3): a client's own comes before what a proxy adds. */
function forwardedFor(rawHeaders: readonly string[]): string[] {
  const hops: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === 'x-forwarded-for') {
      hops.push(...(rawHeaders[index + 1] ?? '').split(','));
    }
  }
  return hops;
}

/** Returns an address without port, brackets and zone; an IPv4 address that is written as IPv6 as itself. */
function plain(text: string): string {
  const address = text
    .trim()
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1');
  return address
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=[\d.]+$)/i, '')
    .toLowerCase();
}

function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // An IPv4 address in the last place stands for two groups.
  const groups = before.length + after.length + (address.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - groups)).fill('0');
  const network = [...before, ...zeros, ...after].slice(0, 4);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
