/**
 * PDFs in requests, read in a simple way: the pages by their objects, the text by the operators that show it. Written apart from
 * Tollgate's reader on purpose. What cannot be read has no pages here.
 */
import { inflateSync } from 'node:zlib';

export interface Document {
  pages: number;
  text: string;
}

const PAGE = /\/Type\s*\/Page(?![A-Za-z])/g;
const SHOWN = /\(((?:\\[\s\S]|[^\\()])*)\)/g;

/** Reads the file of a part of content; null: it is no PDF with pages. */
export function readDocument(part: Record<string, unknown>): Document | null {
  const file = (part.file ?? part) as Record<string, unknown>;
  const [, data] = /^(?:data:[^,]*;base64,)?(JVBERi.*)$/s.exec(String(file.file_data ?? '')) ?? [];
  if (data === undefined) return null;
  const bytes = Buffer.from(data, 'base64');
  const parts = [bytes.toString('latin1')];
  for (const { index } of parts[0]?.matchAll(/stream\r?\n/g) ?? []) {
    const start = bytes.indexOf('\n', index) + 1;
    try {
      parts.push(inflateSync(bytes.subarray(start)).toString('latin1'));
    } catch {
      // It is not compressed, or an image.
    }
  }
  const all = parts.join('\n');
  const pages = all.match(PAGE)?.length ?? 0;
  return pages === 0
    ? null
    : { pages, text: Array.from(all.matchAll(SHOWN), ([, shown]) => shown).join(' ') };
}
