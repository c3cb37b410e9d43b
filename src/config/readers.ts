/** The kinds of settings: how each is read from text, and how it is asked for when it cannot be. */

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

/** A base URL: paths are appended to it, so a query or fragment cannot be meant, and the trailing slash goes. */
export function url(protocols: readonly string[], example: string): Reader<string> {
  const read = (text: string) => {
    const parsed = URL.parse(text);
    if (!parsed || !protocols.includes(parsed.protocol)) return null;
    if (parsed.username || parsed.password || parsed.search || parsed.hash) return null;
    return text.replace(/\/+$/, '');
  };
  return { read, wanted: 'an http or https URL without credentials, query or fragment', example };
}

/** Kept as written: the driver understands parameters that URL normalisation could change. */
export function databaseUrl(example: string): Reader<string> {
  const read = (text: string) => (/^postgres(ql)?:$/.test(URL.parse(text)?.protocol ?? '') ? text : null);
  return { read, wanted: 'a postgres:// URL', example };
}
