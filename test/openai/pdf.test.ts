/** PDFs: as many pages and as much text as any reader may find; what readers may understand otherwise is not counted. */
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { pdfSizeOf } from '../../src/openai/pdf.ts';

const url = (pdf: string | Buffer) =>
  `data:application/pdf;base64,${Buffer.from(pdf as string, 'latin1').toString('base64')}`;
const sizeOf = (pdf: string) => pdfSizeOf(url(pdf));

function file(objects: Record<number, string>, trailer = '/Root 1 0 R'): string {
  const body = Object.entries(objects).map(([id, text]) => `${id} 0 obj\n${text}\nendobj\n`);
  return `%PDF-1.7\n%\xe2\xe3\xcf\xd3\n${body.join('')}xref\n0 1\n0000000000 65535 f \ntrailer\n<< ${trailer} >>\nstartxref\n9\n%%EOF\n`;
}
const stream = (content: string, more = '') =>
  `<< /Length ${content.length} ${more}>>\nstream\n${content}\nendstream`;
const packed = (content: string, more = '') =>
  stream(deflateSync(Buffer.from(content, 'latin1')).toString('latin1'), `/Filter /FlateDecode ${more}`);

const CATALOG = '<< /Type /Catalog /Pages 2 0 R >>';
const ONE = {
  1: CATALOG,
  2: '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
  3: '<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
  4: stream('BT /F1 12 Tf (Hello \\(world\\)) Tj [(a) -20 <6263>] TJ ET'),
  5: '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
};

describe('a plain file', () => {
  it('has the pages of its tree and at most the text that they show', () => {
    const size = sizeOf(file(ONE))!;
    expect(size.pages).toBe(1);
    expect(size.textBytes).toBeGreaterThanOrEqual('Hello (world)abc'.length);
    expect(size.textBytes).toBeLessThan(150);
  });

  it('may be compressed, with its objects in streams and lengths beside them', () => {
    const objects = ['<< /Type /Catalog /Pages 2 0 R >>', '<< /Kids [3 0 R 6 0 R] /Count 2 >>', ONE[3]];
    let at = 0;
    const places = objects.map((text, index) => {
      const place = `${index + 1} ${at}`;
      at += text.length + 1;
      return place;
    });
    const head = `${places.join(' ')} `;
    const inflated = head + objects.join(' ');
    const content = deflateSync(Buffer.from('BT (Hello) Tj ET')).toString('latin1');
    const size = sizeOf(
      file({
        4: `<< /Length 8 0 R /Filter [/FlateDecode] >>\nstream\r\n${content}\nendstream`,
        6: '<< /Type /Page /Parent 2 0 R /Contents [4 0 R 4 0 R] >>',
        7: packed(inflated, `/Type /ObjStm /N 3 /First ${head.length} `),
        8: String(content.length),
      }),
    )!;
    expect(size.pages).toBe(2);
    // The same stream stands on both pages, three times in all.
    expect(size.textBytes).toBeGreaterThanOrEqual(3 * 'Hello'.length);
  });

  it('counts what a form shows once for each time that it may be drawn', () => {
    const text = 'x'.repeat(1000);
    const drawn = sizeOf(
      file({
        ...ONE,
        4: stream('/X Do /X Do /X Do'),
        6: stream(`BT (${text}) Tj ET`, '/Type /XObject /Subtype /Form '),
      }),
    )!;
    expect(drawn.textBytes).toBeGreaterThanOrEqual(3000);
  });

  it('counts all characters that a code stands for', () => {
    const many = '0066'.repeat(200);
    const map = sizeOf(
      file({
        ...ONE,
        5: '<< /Type /Font /ToUnicode 6 0 R >>',
        6: packed(`1 beginbfchar\n<61> <${many}>\nendbfchar`),
      }),
    )!;
    // `a` stands there once.
    expect(map.textBytes).toBeGreaterThanOrEqual(200);
    const glyphs = '_f'.repeat(50);
    const names = sizeOf(file({ ...ONE, 5: `<< /Encoding << /Differences [97 /f${glyphs}] >> >>` }))!;
    expect(names.textBytes).toBeGreaterThanOrEqual('Hello (world)abc'.length * 50);
  });
});

const TWO_LEVELS = {
  ...ONE,
  2: '<< /Type /Pages /Kids [6 0 R 6 0 R] /Count 2 >>',
  6: '<< /Kids [3 0 R] /Count 1 >>',
};

describe('a file that readers may understand otherwise is not counted', () => {
  it.each<[string, string]>([
    ['no PDF', 'hello'],
    ['its first bytes alone', '%PDF-1.4\n%\xc7\xec'],
    ['no pages', file({ 1: CATALOG, 2: '<< /Type /Pages /Kids [] /Count 0 >>' })],
    ['a node of pages twice', file(TWO_LEVELS)],
    ['a page twice', file({ ...ONE, 2: '<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>' })],
    ['a tree in a circle', file({ ...ONE, 2: '<< /Type /Pages /Kids [2 0 R] /Count 1 >>' })],
    ['more pages by its own count', file({ ...ONE, 2: '<< /Type /Pages /Kids [3 0 R] /Count 9 >>' })],
    ['pages outside of the tree', file({ ...ONE, 6: '<< /Type /Page >>' })],
    ['two trees', file({ ...ONE, 6: '<< /Pages 3 0 R >>' })],
    ['a tree in its trailer', file(ONE, '/Root << /Pages 2 0 R >>')],
    ['an object of the same number twice', `${file(ONE)}${file({ 4: stream('(more) Tj') })}`],
    ['an object in the bytes of another', file({ ...ONE, 6: stream('9 0 obj << /Kids [] >> endobj') })],
    ['a header with a comment in it', file(ONE).replace('4 0 obj', '4 %x\n0 obj')],
    ['a length that is not true', file(ONE).replace(/\/Length \d+/, '/Length 7')],
    ['a key twice', file({ ...ONE, 3: '<< /Type /Page /Contents 4 0 R /Contents 4 0 R >>' })],
    ['a key twice, once with an escape', file({ ...ONE, 2: '<< /Kids [] /K#69ds [3 0 R] /Count 1 >>' })],
    ['encryption', file(ONE, '/Root 1 0 R /Encrypt 9 0 R')],
    ['encryption with an escape', file(ONE, '/Root 1 0 R /Enc#72ypt 9 0 R')],
    ['contents behind a reference', file({ ...ONE, 3: '<< /Type /Page /Contents 6 0 R >>', 6: '[4 0 R]' })],
    ['another filter', file({ ...ONE, 4: stream('ABCD', '/Filter /ASCII85Decode ') })],
    [
      'a string over two streams',
      file({
        ...ONE,
        3: '<< /Type /Page /Contents [4 0 R 6 0 R] >>',
        4: stream('BT ('),
        6: stream('text) Tj ET'),
      }),
    ],
    ['an image between operators', file({ ...ONE, 4: stream('BI /W 1 ID ( EI (x) Tj ) Q') })],
    [
      'forms that draw forms',
      file({ ...ONE, 4: stream('/X Do'), 6: stream('/Y Do /Y Do (x) Tj', '/Subtype /Form ') }),
    ],
    [
      'appearances with text',
      file({ ...ONE, 4: stream(''), 6: stream('(x) Tj', '/Subtype /Form '), 7: '<< /AP << /N 6 0 R >> >>' }),
    ],
    ['text instead of what is shown', file({ ...ONE, 6: '<< /ActualText (long) >>' })],
    ['glyphs that are drawn', file({ ...ONE, 5: '<< /Type /Font /Subtype /Type3 /CharProcs << >> >>' })],
    ['patterns that are drawn', file({ ...ONE, 6: stream('(x) Tj', '/PatternType 1 ') })],
    ['notes on pages', file({ ...ONE, 6: '<< /Subtype /Text /Contents (a note) >>' })],
    ['other files in it', file({ ...ONE, 6: '<< /EF << /F 4 0 R >> >>' })],
    ['more than is inflated', file({ ...ONE, 4: packed(' '.repeat(5_000_000)) })],
    ['depth', file({ ...ONE, 6: '['.repeat(5000) })],
  ])('%s', (_, pdf) => {
    expect(sizeOf(pdf)).toBeNull();
  });

  it('a data URL of another type, or base64 that decoders read differently', () => {
    expect(pdfSizeOf(url(file(ONE)))).not.toBeNull();
    expect(pdfSizeOf(url(file(ONE)).slice('data:application/pdf;base64,'.length))).not.toBeNull();
    expect(pdfSizeOf(url(file(ONE)).replace('application/pdf', 'text/plain'))).toBeNull();
    expect(pdfSizeOf(`${url(file(ONE)).slice(0, -4)}\n====`)).toBeNull();
  });

  it('in a time that grows with its length', () => {
    const hostile = [
      '1 0 obj ('.repeat(100_000),
      '<<'.repeat(400_000),
      `${'9 0 obj << /Length 8 0 R >>\nstream\n'.repeat(50_000)}`,
      ' 0 0 obj'.repeat(100_000),
      '('.repeat(1_000_000),
      file({
        ...ONE,
        5: '<< /Type /Font /ToUnicode 6 0 R >>',
        6: packed('beginbfrange <61> <61> ['.repeat(100_000)),
      }),
      file({ ...ONE, 5: '<< /Type /Font /ToUnicode 6 0 R >>', 6: packed('beginbfchar '.repeat(300_000)) }),
      file({
        ...ONE,
        6: packed(
          `${'9 10 '.repeat(10_000)}${'['.repeat(20)}${'1 '.repeat(500_000)}`,
          '/Type /ObjStm /N 10000 /First 50000 ',
        ),
      }),
    ];
    for (const text of hostile) expect(sizeOf(`%PDF-1.7\n${text}`)).toBeNull();
  });
});
