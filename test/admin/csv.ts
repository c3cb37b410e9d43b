/** Reads exports back. */
import { expect } from 'vitest';

/** The rows of a CSV whose cells have no line ends and quotes only around cells. */
export async function tableOf(response: Response): Promise<Record<string, string>[]> {
  const text = await response.text();
  expect([response.status, text.endsWith('\r\n')], text).toEqual([200, true]);
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
  const [header = [], ...rows] = text
    .trimEnd()
    .split('\r\n')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
      ),
    );
  return rows.map((row) => {
    expect(row).toHaveLength(header.length);
    return Object.fromEntries(header.map((name, place) => [name, row[place] ?? '']));
  });
}
