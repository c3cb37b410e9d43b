/** JSON texts as bytes on the wire may have them: names twice, names with escapes, blanks anywhere. For property tests. */
import fc from 'fast-check';

const blank = fc.constantFrom('', '', '', ' ', '\n', '\t ');
const name = fc.oneof(
  fc.constantFrom('model', 'n', 'type', 'content', 'tools', '__proto__', 'a"b', 'back\\slash', 'é', ''),
  fc.constant('mod\\u0065l').map((raw) => ({ raw })),
);

const scalar = fc.oneof(
  fc.constantFrom('null', 'true', '0', '-1.50', '1e3', '12345678901234567890'),
  fc.string({ unit: 'binary', maxLength: 60 }).map((text) => JSON.stringify(text)),
  fc.constantFrom(
    '"\\\\"',
    '"\\\\\\""',
    '"{\\"model\\":1,\\"model\\":2}"',
    `"${'x'.repeat(70)}\\\\"`,
    `"${'x'.repeat(70)}\\",\\"n\\":[{"`,
  ),
);

/** An object's text whose names may stand twice, at any depth. */
export const objectText: fc.Arbitrary<string> = fc.letrec<{ value: string; object: string }>((tie) => ({
  object: fc.array(fc.tuple(name, tie('value'), blank, blank, blank), { maxLength: 5 }).map((members) => {
    const texts = members.map(([key, value, before, between, after]) => {
      const text = typeof key === 'string' ? JSON.stringify(key) : `"${key.raw}"`;
      return `${before}${text}${between}:${value}${after}`;
    });
    return `{${texts.join(',')}}`;
  }),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(' ,')}]`),
    tie('object'),
  ),
})).object;

/** How many names stand twice in one object: a slow parser, told nothing of ours. */
export function countDuplicates(text: string): number {
  let at = 0;
  let duplicates = 0;
  const blanks = () => {
    while (' \n\t\r'.includes(text[at]!)) at++;
  };
  const string = (): string => {
    const start = at++;
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    return JSON.parse(text.slice(start, ++at)) as string;
  };
  const value = (): void => {
    blanks();
    const opening = text[at];
    if (opening === '"') string();
    else if (opening === '{' || opening === '[') {
      const names = new Set<string>();
      at++;
      blanks();
      while (text[at] !== '}' && text[at] !== ']') {
        if (opening === '{') {
          const key = string();
          if (names.has(key)) duplicates++;
          names.add(key);
          blanks();
          at++;
        }
        value();
        blanks();
        if (text[at] === ',') at++;
        blanks();
      }
      at++;
    } else while (at < text.length && !',]} \n\t\r'.includes(text[at]!)) at++;
  };
  value();
  return duplicates;
}
