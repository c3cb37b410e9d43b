/** One pass over lines finds what a search for each name would, and so does the search in long ones. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, type Name, NamePlaces } from '../../src/openai/wire/names.ts';

const NAMES: Name[] = [0, 1, 2, 3, 4, 5, 6];
/** Used again and again, as the meter does. */
const found = new NamePlaces();

function searched(lines: Buffer, needle: Buffer): number[] {
  const places: number[] = [];
  for (let at = lines.indexOf(needle); at !== -1; at = lines.indexOf(needle, at + 1)) places.push(at);
  return places;
}

function placesOf(name: Name): number[] {
  const places: number[] = [];
  for (let index = found.next(name, 0); index !== -1; index = found.next(name, index + 1))
    places.push(found.at(index));
  return places;
}

const part = fc.oneof(
  fc.constantFrom(...NAMES.map((name) => bytesOf(name).toString())),
  fc.constantFrom(...NAMES.map((name) => bytesOf(name).toString().slice(0, -1))),
  fc.constantFrom('"', '[', '"usag', 'rror"', '[DON', '"responsé"', ':null,', '{"', '\n\ndata: '),
  fc.string({ unit: 'binary', maxLength: 12 }),
);

describe('names in lines', () => {
  it.each([0, 10_000])('are where a search finds them, with %i bytes behind', (more) => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 200 }), (parts) => {
        const lines = Buffer.from(parts.join('') + 'x'.repeat(more));
        found.find(lines);
        for (const name of NAMES) {
          expect(placesOf(name)).toEqual(searched(lines, bytesOf(name)));
          expect(found.has(name)).toBe(lines.includes(bytesOf(name)));
        }
      }),
      { numRuns: 300 },
    );
  });
});
