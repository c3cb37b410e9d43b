import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonScan, SCAN_BOUNDS, type ScanBounds } from '../../src/openai/scan.ts';
import { countDuplicates, objectText } from './json-text.ts';

/** Scans a text in pieces of so many bytes. */
function scan(text: string, pieceBytes = Number.POSITIVE_INFINITY, bounds: Partial<ScanBounds> = {}) {
  const scanned = new JsonScan({ ...SCAN_BOUNDS, ...bounds });
  const bytes = Buffer.from(text).toString('latin1');
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (!scanned.push(bytes.slice(at, at + pieceBytes))) break;
  }
  return scanned;
}

const scanNames = (text: string) => {
  const { exceeded, ambiguous } = scan(text);
  return exceeded ?? (ambiguous ? 'ambiguous' : 'plain');
};

const TIMES_LONGER = 16;
const ROUNDS = 6;

/**
 * Expects that one long text takes about as much of the processor as many short ones of the same length together; where the
 * time grew with the square of the length it would be sixteen times as much. The clock is this thread's own, so whatever else
 * the machine does cannot make the difference.
 */
function expectLinear(
  length: number,
  textOf: (length: number) => string,
  work: (text: string) => void,
): void {
  const [short, long] = [textOf(length), textOf(TIMES_LONGER * length)];
  let [inParts, inOne] = [0, 0];
  const microseconds = () => {
    const { user, system } = process.threadCpuUsage();
    return user + system;
  };
  // Both are compiled before they are compared; then by turns.
  for (let round = -2; round < ROUNDS; round++) {
    const startedAt = microseconds();
    for (let part = 0; part < TIMES_LONGER; part++) work(short);
    const betweenAt = microseconds();
    work(long);
    if (round < 0) continue;
    inParts += betweenAt - startedAt;
    inOne += microseconds() - betweenAt;
  }
  // The clock has steps of some milliseconds.
  expect(inOne).toBeLessThan(20_000 + (TIMES_LONGER / 2) * inParts);
}

describe('a scan of a JSON text', () => {
  it('never calls a body plain that holds a name twice in one object', () => {
    let seen = 0;
    fc.assert(
      fc.property(objectText, (text) => {
        if (countDuplicates(text) === 0) return;
        seen++;
        expect(scanNames(text)).toBe('ambiguous');
      }),
      { numRuns: 2000 },
    );
    expect(seen).toBeGreaterThan(100);
  });

  it('calls every body plain that holds no name twice and no name with an escape', () => {
    let seen = 0;
    fc.assert(
      fc.property(objectText, (text) => {
        if (countDuplicates(text) > 0 || /mod\\u|a\\"b|back\\\\slash/.test(text)) return;
        seen++;
        expect(scanNames(text)).toBe('plain');
      }),
      { numRuns: 2000 },
    );
    expect(seen).toBeGreaterThan(100);
  });

  it('takes the same name in sibling and in nested objects for what it is: no duplicate', () => {
    expect(scanNames('{"type":{"type":1,"x":[{"type":2},{"type":3}]},"y":{"type":4}}')).toBe('plain');
  });

  it('finds a name that is written once plainly and once with an escape', () => {
    expect(scanNames('{"model":"a","mod\\u0065l":"b"}')).toBe('ambiguous');
  });

  it('finds a name that returns after a nested object', () => {
    expect(scanNames('{"n":1,"x":{"n":[{}]},"n":2}')).toBe('ambiguous');
  });

  it('finds a name twice behind any number of other objects', () => {
    expect(scanNames(`{"a":[${'{"b":1,"c":2},'.repeat(40_000)}{"n":1,"n":2}]}`)).toBe('ambiguous');
  });

  it('returns an error for nesting beyond its limit and accepts it up to there', () => {
    const nested = (depth: number) => `${'['.repeat(depth - 1)}{}${']'.repeat(depth - 1)}`;
    expect(scanNames(nested(SCAN_BOUNDS.depth))).toBe('plain');
    expect(scanNames(nested(SCAN_BOUNDS.depth + 1))).toBe('depth');
  });

  it('stays linear on objects with very many names', () => {
    const textOf = (length: number) => `{${Array.from({ length }, (_, index) => `"${index}":0`).join(',')}}`;
    expect(scanNames(textOf(200_000))).toBe('objectNames');
    expectLinear(3_000, textOf, (text) => {
      const { ambiguous } = scan(text, 1e9, { names: 1e9, objectNames: 1e9 });
      expect(ambiguous).toBe(false);
    });
  });

  it('stays linear on long runs of backslashes and escaped quotes', () => {
    const textOf = (length: number) => `{"a":"${'\\\\'.repeat(length)}","b":"${'\\"'.repeat(length)}"}`;
    expectLinear(30_000, textOf, (text) => expect(scanNames(text)).toBe('plain'));
  });

  it('counts every value and every name', () => {
    fc.assert(
      fc.property(fc.oneof(objectText, fc.json()), (text) => {
        const counts = count(text);
        const { values, names } = scan(text);
        expect({ values, names }).toEqual(counts);
      }),
      { numRuns: 2000 },
    );
  });

  it('finds the same in pieces of any size as in the whole', () => {
    fc.assert(
      fc.property(
        fc.oneof(objectText, fc.string({ unit: 'binary' })),
        fc.integer({ min: 1, max: 9 }),
        (text, size) => {
          expect(factsOf(scan(text, size))).toEqual(factsOf(scan(text)));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it.each<[string, Partial<ScanBounds>, string]>([
    ['values', { values: 4 }, '[1,[],{"a":2}]'],
    ['names', { names: 2 }, '[{"a":1},{"b":1},{"c":1}]'],
    ['objectNames', { objectNames: 2 }, '{"a":1,"b":1,"c":1}'],
    ['depth', { depth: 2 }, '[[[]]]'],
  ])('stops at more %s than allowed, and not before', (bound, bounds, text) => {
    expect(scan(text, 1, bounds).exceeded).toBe(bound);
    const most = Object.fromEntries(Object.entries(bounds).map(([name, value]) => [name, value + 1]));
    expect(scan(text, 1, most).exceeded).toBeNull();
  });

  it.each(['model', 'max_tokens', 'x1'])('takes the name %s for a usual one', (name) => {
    expect(scan(`{"${name}":"Value"}`).unusual).toBe(false);
  });

  it.each(['Model', 'mod\\u0065l', 'ſtream', 'aKey'])('takes the name %s for an unusual one', (name) => {
    expect(scan(`{"${name}":1}`, 1).unusual).toBe(true);
  });
});

function factsOf({ values, names, ambiguous, unusual, exceeded }: JsonScan) {
  return { values, names, ambiguous, unusual, exceeded };
}

/** Values and names of a text, counted one by one. */
function count(text: string): { values: number; names: number } {
  // Only the parser's own reading of each member shows names that stand twice.
  const tokens = text.match(/"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/gs) ?? [];
  const names = tokens.filter((token) => token === ':').length;
  const closing = tokens.filter((token) => token === '}' || token === ']').length;
  const punctuation = tokens.filter((token) => token === ',' || token === ':').length;
  return { values: tokens.length - punctuation - closing - names, names };
}
