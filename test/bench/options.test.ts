/** The bench's command line. */
import { describe, expect, it } from 'vitest';
import { CASES } from '../../bench/cases.ts';
import { CONTESTANTS } from '../../bench/contestants.ts';
import { HELP, readOptions } from '../../bench/options.ts';
import { PREVIOUS_COMMIT } from '../../bench/previous.ts';

describe('options of the bench', () => {
  it('compare this build with the earlier one and the bare pipe, without peers', () => {
    expect(readOptions([])).toMatchObject({
      rounds: 5,
      warmupCalls: 40_000,
      contestants: ['bare', 'tollgate', 'previous'],
      previous: PREVIOUS_COMMIT,
      latency: false,
    });
  });

  it('add peers when asked for them', () => {
    expect(readOptions(['--peers'])?.contestants).toEqual([
      'bare',
      'tollgate',
      'previous',
      'portkey',
      'litellm',
    ]);
    expect(readOptions(['--only', 'bare,portkey', '--peers'])?.contestants).toEqual([
      'bare',
      'portkey',
      'litellm',
    ]);
  });

  it('take a gateway and a case once, in the order in which they were named', () => {
    const options = readOptions(['--only', 'tollgate,bare,tollgate', '--cases', 'stream,json-1']);
    expect(options?.contestants).toEqual(['tollgate', 'bare']);
    expect(options?.cases.map(({ name }) => name)).toEqual(['stream', 'json-1']);
  });

  it('leave out of the usual cases only those that are measured when named', () => {
    const usual = readOptions([])?.cases.map(({ name }) => name);
    const extra = CASES.map(({ name }) => name).filter((name) => !usual?.includes(name));
    expect(extra).toEqual(['stream-32k', 'stream-usage']);
  });

  it.each([
    [['--only', 'nginx'], /--only: nginx is none of bare, tollgate, previous/],
    [['--cases', 'json-2'], /--cases: json-2 is none of .*json-1, /],
    [['--rounds', '0'], /--rounds: 0 is not a number above 0/],
    [['--warmup', 'many'], /--warmup: many is not a number/],
    [['--nothing'], /--nothing/],
  ])('refuse %j by naming what is valid', (argv, message) => {
    expect(() => readOptions(argv)).toThrow(message);
  });

  it('print a help that names every gateway and every case', () => {
    expect(readOptions(['--help'])).toBeNull();
    for (const name of [...CONTESTANTS, ...CASES.map((one) => one.name)]) expect(HELP).toContain(name);
    expect(HELP.split('\n').filter((line) => line.length > 120)).toEqual([]);
  });
});
