import { expect, it } from 'vitest';
import { ApiError } from '../../src/domain/errors.ts';
import { allowsValue, type TagRule, type TagsOfCall, tagsOf } from '../../src/domain/tags.ts';

const rule = (name: string, changes: Partial<TagRule> = {}): TagRule => ({
  name,
  values: null,
  pattern: null,
  sources: ['key', 'header'],
  isRequired: false,
  onUnknown: 'refuse',
  valuesMax: 10,
  idleDays: 30,
  ...changes,
});
const call = (changes: Partial<TagsOfCall> = {}): TagsOfCall => ({
  own: null,
  headers: [],
  metadata: null,
  isBillable: true,
  ...changes,
});

/** The tags, or the code and text of the refusal. */
function read(rules: TagRule[], changes: Partial<TagsOfCall>) {
  const found = tagsOf(rules, call(changes));
  return found instanceof ApiError ? `${found.code}: ${found.message}` : found.tags;
}

it('tags of the header are read in any order and kept in the order of their names', () => {
  const rules = [rule('run'), rule('project')];
  expect(read(rules, { headers: ['run=r-1, project=alpha'] })).toEqual(['project=alpha', 'run=r-1']);
  expect(read(rules, { headers: ['run=r-1', 'project=alpha'] })).toEqual(['project=alpha', 'run=r-1']);
  expect(read(rules, { headers: ['run=%E9%A1%B9%E7%9B%AE%2C1'] })).toEqual(['run=项目,1']);
  expect(read(rules, { headers: [''] })).toBeNull();
});

it('tags of the key win over the header, and the header over metadata', () => {
  const rules = [rule('project', { values: ['alpha', 'beta'], sources: ['key', 'header', 'metadata'] })];
  const metadata = { project: 'beta' };
  expect(read(rules, { own: ['project=gamma'], headers: ['project=alpha'], metadata })).toEqual([
    'project=gamma',
  ]);
  expect(read(rules, { headers: ['project=alpha'], metadata })).toEqual(['project=alpha']);
  expect(read(rules, { metadata })).toEqual(['project=beta']);
  expect(read(rules, { own: ['project=gamma'], headers: ['project=none of them'] })).toEqual([
    'project=gamma',
  ]);
});

it('metadata is read for names that may come from it, and everything else of it is left alone', () => {
  const metadata = { project: 'alpha', trace: 'x', constructor: 'y' };
  expect(read([rule('project')], { metadata })).toBeNull();
  expect(read([rule('project', { sources: ['metadata'] })], { metadata })).toEqual(['project=alpha']);
  expect(read([rule('toString', { sources: ['metadata'] })], { metadata })).toBeNull();
});

it.each([
  ['project', /is no tag: write x-tollgate-tags: name=value/],
  ['=alpha', /is no tag/],
  ['pro ject=alpha', /is no tag/],
  ['project=%ZZ', /is no tag/],
  ['project=alpha,project=beta', /'project' twice/],
  ['other=1', /'other' is not allowed .* These are: 'project'/],
  ['project=delta', /may not be 'delta': it is one of 'alpha', 'beta'/],
  ['project=', /may not be ''/],
  [Array.from({ length: 17 }, (_, at) => `t${at}=1`).join(), /at most 16 tags/],
  [`project=${'x'.repeat(9_000)}`, /at most 8192 characters/],
])('the header %j is refused and says what would pass', (header, text) => {
  const refused = read([rule('project', { values: ['alpha', 'beta'] })], { headers: [header] });
  expect(refused).toMatch(/^invalid_tag: /);
  expect(refused).toMatch(text);
});

it('what is not known may be ignored: values by their rule, names by the rule of *', () => {
  const rules = [
    rule('project', { values: ['alpha'], onUnknown: 'ignore' }),
    rule('*', { onUnknown: 'ignore' }),
  ];
  expect(read(rules, { headers: ['project=beta,other=1'] })).toBeNull();
  expect(read(rules, { headers: ['project=alpha,other=1'] })).toEqual(['project=alpha']);
});

it('a required tag is missed by calls that cost money alone', () => {
  const rules = [rule('project', { isRequired: true, values: ['alpha'] })];
  expect(read(rules, {})).toMatch(/^missing_tag: .*'project'.*x-tollgate-tags: project=alpha/);
  expect(read(rules, { isBillable: false })).toBeNull();
  expect(read(rules, { own: ['project=beta'] })).toEqual(['project=beta']);
});

it('values without a list are to be asked for, listed ones and those of a key are not', () => {
  const rules = [rule('project', { values: ['alpha'] }), rule('run'), rule('feature')];
  const found = tagsOf(
    rules,
    call({ own: ['feature=search'], headers: ['project=alpha,run=7,feature=other'] }),
  );
  if (found instanceof ApiError) throw new Error(found.message);
  expect(found.open?.map(({ rule: { name }, value }) => [name, value])).toEqual([['run', '7']]);
});

it.each([
  ['run-*', 'run-1', true],
  ['run-*', 'run-', true],
  ['run-*', 'walk-1', false],
  ['*-run-*', 'a-run-b-run-c', true],
  ['*a', 'bbba', true],
  ['*a', 'bbbab', false],
  ['*', 'x', true],
  ['a.c', 'abc', false],
  [`${'*a'.repeat(60)}b`, 'a'.repeat(128), false],
])('the pattern %j and the value %j', (pattern, value, fits) => {
  expect(allowsValue({ values: null, pattern }, value)).toBe(fits);
});

it('a value is readable text of at most 128 characters', () => {
  const any = { values: null, pattern: null };
  expect(['', ' x', 'x ', 'a\0b', 'x'.repeat(129), '\ud800'].map((value) => allowsValue(any, value))).toEqual(
    Array(6).fill(false),
  );
  expect(allowsValue(any, 'x'.repeat(128))).toBe(true);
});
