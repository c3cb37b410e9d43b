/** The kinds of settings: how each is read from text, and how it is asked for when it cannot be. */
import { isIP } from 'node:net';

/** Reads one setting; null when the text is not what `wanted` says. */
export interface Reader<T> {
  read: (text: string) => T | null;
  wanted: string;
  example: string;
}

export function integer(min: number, max: number, example: string): Reader<number> {
  const read = (text: string) => {
    const value = /^\d{1,12}$/.test(text) ? Number(text) : -1;
    return value >= min && value <= max ? value : null;
  };
  return { read, wanted: `a whole number from ${min} to ${max}`, example };
}

/** A number of processes, or `auto`. */
export function workers(max: number, example: string): Reader<number | 'auto'> {
  const number = integer(1, max, example);
  const read = (text: string) => (text === 'auto' ? text : number.read(text));
  return { read, wanted: `${number.wanted}, or auto`, example };
}

export function boolean(): Reader<boolean> {
  const values: Record<string, boolean> = { true: true, '1': true, false: false, '0': false };
  return { read: (text) => values[text] ?? null, wanted: 'true or false', example: 'true' };
}

export function oneOf<T extends string>(choices: readonly T[], example: T): Reader<T> {
  const read = (text: string) => choices.find((choice) => choice === text) ?? null;
  return { read, wanted: `one of ${choices.join(', ')}`, example };
}

export function word(example: string): Reader<string> {
  return { read: (text) => (/^\S+$/.test(text) ? text : null), wanted: 'one word without blanks', example };
}

export function path(example: string): Reader<string> {
  return {
    read: (text) => (text.trim() === text ? text : null),
    wanted: 'a path without blanks around it',
    example,
  };
}

/** A blank inside a key is a copying accident; it would also break the header that carries it. */
export function secret(minLength: number, example: string): Reader<string> {
  const wanted = minLength > 1 ? `at least ${minLength} characters without blanks` : 'a key without blanks';
  return {
    read: (text) => (/^[!-~]+$/.test(text) && text.length >= minLength ? text : null),
    wanted,
    example,
  };
}

/** Thirty-two bytes, as text. */
export function sealingKeyText(example: string): Reader<string> {
  return {
    read: (text) => (SEALING_KEY.test(text) ? text : null),
    wanted: '32 bytes in hex or base64',
    example,
  };
}

/** Several such keys. */
export function sealingKeyTexts(example: string): Reader<readonly string[]> {
  return {
    read: (text) => {
      const found = text.split(',').map((each) => each.trim());
      return found.every((each) => SEALING_KEY.test(each)) ? found : null;
    },
    wanted: '32 bytes in hex or base64; several with commas',
    example,
  };
}

const SEALING_KEY = /^(?:[0-9a-f]{64}|[A-Za-z0-9+/_-]{43}=?)$/i;

/**
 * `eu.api.openai.com` and the like: there the API bills a surcharge on newer models that the rate card does not have, so
 * what was held could be less than the bill.
 */
const REGIONAL_HOST = /\.api\.openai\.com$/;

/** A base URL: paths are appended to it, so a query or fragment cannot be meant, and the trailing slash goes. */
export function baseUrl(example: string): Reader<string> {
  const read = (text: string) => {
    const parsed = URL.parse(text);
    if (!parsed || !['http:', 'https:'].includes(parsed.protocol)) return null;
    const isBare = !(parsed.username || parsed.password || parsed.search || parsed.hash);
    return isBare ? text.replace(/\/+$/, '') : null;
  };
  return { read, wanted: 'an http or https URL without credentials, query or fragment', example };
}

/** The upstream's base URL. */
export function upstreamUrl(example: string): Reader<string> {
  const { read: readBase, wanted } = baseUrl(example);
  const read = (text: string) => {
    const url = readBase(text);
    // A trailing dot names the same host.
    return url === null || REGIONAL_HOST.test(new URL(url).hostname.replace(/\.$/, '')) ? null : url;
  };
  return { read, wanted: `${wanted}, and not of a regional host of OpenAI`, example };
}

/** A share, as a decimal from 0 to 1. */
export function share(example: string): Reader<number> {
  const read = (text: string) => {
    const value = /^\d(?:\.\d{1,9})?$/.test(text) ? Number(text) : 2;
    return value <= 1 ? value : null;
  };
  return { read, wanted: 'a number from 0 to 1', example };
}

/** Origins as browsers write them, without a path; or `*` alone. */
export function origins(example: string): Reader<readonly string[]> {
  const read = (text: string) => {
    const list = text.split(',').map((each) => each.trim());
    if (list.length === 1 && list[0] === '*') return list;
    return list.every((each) => URL.parse(each)?.origin === each) ? list : null;
  };
  return { read, wanted: 'origins such as https://app.example.com, separated by commas, or *', example };
}

/** A webhook's URL: it may have a query, which is often its secret. */
export function webhookUrl(example: string): Reader<string> {
  const read = (text: string) => {
    const parsed = URL.parse(text);
    if (!parsed || !['http:', 'https:'].includes(parsed.protocol)) return null;
    return parsed.username || parsed.password || parsed.hash ? null : parsed.href;
  };
  return { read, wanted: 'an http or https URL without credentials or fragment', example };
}

/** The URL of a mail server; user and password are part of it. */
export function smtpUrl(example: string): Reader<string> {
  const read = (text: string) => {
    const parsed = URL.parse(text);
    if (!parsed || !['smtp:', 'smtps:'].includes(parsed.protocol) || parsed.hostname === '') return null;
    return parsed.pathname.length > 1 || parsed.hash ? null : parsed.href;
  };
  return { read, wanted: 'an smtp or smtps URL without a path', example };
}

/** The sender of mails: `Tollgate <tollgate@example.com>`, or the address alone. */
export function mailSender(example: string): Reader<string> {
  const read = (text: string) =>
    /^(?:[^<>\r\n]+ <[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/.test(text) ? text : null;
  return { read, wanted: 'an e-mail address, or a name and an address in <>', example };
}

/** A secret of Standard Webhooks: `whsec_` and 24 to 64 random bytes in base64. */
export function webhookSecret(example: string): Reader<string> {
  const read = (text: string) => {
    const encoded = text.replace(/^whsec_/, '');
    const key = Buffer.from(encoded, 'base64');
    const whole = encoded !== text && key.toString('base64') === encoded;
    return whole && key.length >= 24 && key.length <= 64 ? text : null;
  };
  return { read, wanted: '`whsec_` and 24 to 64 random bytes in base64', example };
}

/** Addresses and networks, as `10.0.0.0/8`. */
export function networks(example: string): Reader<string[]> {
  const read = (text: string) => {
    const all = text.split(',').map((each) => each.trim());
    return all.every(isNetwork) ? all : null;
  };
  return { read, wanted: 'IP addresses and networks such as 10.0.0.0/8, separated by commas', example };
}

function isNetwork(text: string): boolean {
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && (bits === undefined || Number(bits) <= (family === 4 ? 32 : 128));
}

const PERCENT_MAX = 1_000;
const PERCENTS_MAX = 10;

/** Percents, returned in ascending order, each once. */
export function percents(example: string): Reader<number[]> {
  const read = (text: string) => {
    if (!/^\d{1,4}(,\d{1,4})*$/.test(text)) return null;
    const values = [...new Set(text.split(',').map(Number))].sort((a, b) => a - b);
    const fit = values.every((each) => each >= 1 && each <= PERCENT_MAX) && values.length <= PERCENTS_MAX;
    return fit ? values : null;
  };
  const wanted = `up to ${PERCENTS_MAX} whole numbers from 1 to ${PERCENT_MAX}, separated by commas`;
  return { read, wanted, example };
}

/** Names of a list, each with a number of hours: `crash=24,upstream_error=72`. */
export function hoursOf<Name extends string>(
  names: readonly Name[],
  example: string,
): Reader<ReadonlyMap<Name, number>> {
  const read = (text: string) => {
    const hours = new Map<Name, number>();
    for (const part of text.split(',')) {
      const [, word, number] = /^(\w+)=(\d{1,4})$/.exec(part) ?? [];
      const name = names.find((each) => each === word);
      if (name === undefined || Number(number) === 0 || hours.has(name)) return null;
      hours.set(name, Number(number));
    }
    return hours;
  };
  return { read, wanted: `name=hours, separated by commas; names are ${names.join(', ')}`, example };
}

/** Kept as written: what its parts mean is read where it is used (store/connection/address.ts). */
export function databaseUrl(example: string): Reader<string> {
  const read = (text: string) => (/^postgres(ql)?:\/\//.test(text) ? text : null);
  return { read, wanted: 'a postgres:// URL', example };
}

const FIELDS_MAX = 100;

/** Names of JSON fields. */
export function fieldNames(example: string): Reader<string[]> {
  const read = (text: string) => {
    const names = text.split(',').map((name) => name.trim());
    const fit = names.length <= FIELDS_MAX && names.every((name) => /^[A-Za-z_][\w.-]{0,99}$/.test(name));
    return fit ? names : null;
  };
  return { read, wanted: `up to ${FIELDS_MAX} names of fields, separated by commas`, example };
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** The issuer of an identity provider: a secret goes there, so unencrypted to this machine alone. */
export function issuerUrl(example: string): Reader<string> {
  const read = (text: string) => {
    const url = URL.parse(text);
    if (url === null || url.username || url.password || url.search || url.hash || /\s/.test(text))
      return null;
    const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.includes(url.hostname));
    return isSafe ? text : null;
  };
  return { read, wanted: 'an https URL without credentials, query or fragment (http on loopback)', example };
}

/** Where a site is: scheme and host, without a path. */
export function siteUrl(example: string): Reader<string> {
  const read = (text: string) => {
    const url = URL.parse(text);
    const isSite = url !== null && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, '');
    return isSite ? url.origin : null;
  };
  return { read, wanted: 'an http or https URL without a path', example };
}

/** Scopes of OpenID Connect, with `openid` among them. */
export function scopes(example: string): Reader<string> {
  const read = (text: string) =>
    /^[!-~]+( [!-~]+)*$/.test(text) && text.split(' ').includes('openid') ? text : null;
  return { read, wanted: 'scopes with `openid` among them, separated by single blanks', example };
}

/** Names of domains, in lower case. */
export function domains(example: string): Reader<readonly string[]> {
  const read = (text: string) => {
    const list = text.split(',').map((each) => each.trim().toLowerCase());
    return list.every((each) => /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(each)) ? list : null;
  };
  return { read, wanted: 'domains such as example.com, separated by commas', example };
}

/** Attributes as OpenTelemetry writes them: https://opentelemetry.io/docs/specs/otel/resource/sdk/ */
export function resourceAttributes(example: string): Reader<Readonly<Record<string, string>>> {
  const read = (text: string) => {
    const pairs = text
      .split(',')
      .filter((pair) => pair.trim() !== '')
      .map((pair) => /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(pair));
    try {
      return Object.fromEntries(
        pairs.map((pair) => {
          const [, name, value] = pair ?? [];
          if (name === undefined || value === undefined) throw new URIError('no pair');
          return [decodeURIComponent(name), decodeURIComponent(value)];
        }),
      );
    } catch {
      return null;
    }
  };
  return { read, wanted: 'name=value pairs with commas between them', example };
}
