/** The rule about links between pages: the file is there, and has the heading. */
import { posix } from 'node:path';
import type { SourceFile } from './imports.ts';

const LINK = /\]\(([^()\s]+)\)/g;
const CODE = /^```[\s\S]*?^```/gm;

/**
 * Relative links that lead nowhere, in pages of Markdown.
 * @param exists of a path relative to the repository, a folder's without a slash at its end.
 */
export function brokenLinks(pages: readonly SourceFile[], exists: (path: string) => boolean): string[] {
  const anchors = new Map(pages.map(({ path, text }) => [path, headings(text)]));
  return pages.flatMap(({ path, text }) =>
    [...text.replace(CODE, '').matchAll(LINK)]
      .map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link) && !leadsSomewhere(path, link, anchors, exists))
      .map((link) => `${path}: ${link} leads nowhere`),
  );
}

function leadsSomewhere(
  from: string,
  link: string,
  anchors: ReadonlyMap<string, ReadonlySet<string>>,
  exists: (path: string) => boolean,
): boolean {
  const [file = '', anchor] = link.split('#');
  const path = file === '' ? from : posix.join(posix.dirname(from), file).replace(/\/$/, '');
  if (!exists(path)) return false;
  return anchor === undefined || (anchors.get(path)?.has(anchor) ?? false);
}

/** Anchors of a page's headings, as hosts of repositories make them. */
function headings(text: string): Set<string> {
  const seen = new Map<string, number>();
  const found = new Set<string>();
  for (const [, heading] of text.replace(CODE, '').matchAll(/^#{1,6} +(.+)$/gm)) {
    const words = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim();
    const slug = words
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    found.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return found;
}
