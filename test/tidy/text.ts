/** The rules about a file's text: its size, and words that must not stand in it. */
import type { SourceFile } from './imports.ts';

const MAX_LINES = 400;
/** A type position before and an end of one behind, so that the English word passes. */
const ANY_TYPE = /(?:[:<|&=]|\bas|=>)\s*any\s*(?:[;,)>\]|&={}]|\[\]|$)|,\s*any\s*>/m;
/** An open end without an owner; written apart so that this file passes its own rule. */
const BARE_MARK = new RegExp(`\\b(?:${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')})\\b(?!\\()`);
const SUPPRESSION = new RegExp(`@ts-${'(?:ignore|nocheck|expect-error)'}|biome-ignore-${'all'}`);

/** One job a file: at most 400 lines. */
export function sizes(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const lines = text.trimEnd().split('\n').length;
    return lines > MAX_LINES ? [`${path}: ${lines} lines, at most ${MAX_LINES}`] : [];
  });
}

/** The types are believed, so nothing may switch them off. */
export function types(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => [
    ...(ANY_TYPE.test(text) ? [`${path}: a type is any`] : []),
    ...(SUPPRESSION.test(text) ? [`${path}: a check is switched off`] : []),
  ]);
}

/** Open ends live in the tracker, or name it. */
export function openEnds(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    BARE_MARK.test(text) ? [`${path}: an open end without an owner`] : [],
  );
}

/** Rows of a Markdown page's tables whose first cell is a `name`; cells lose their backquotes. */
export function tableRows(page: string): string[][] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll('`', '')));
}

/** What one side lists and the other does not, both ways. */
export function differences(inCode: readonly string[], onPage: readonly string[]): string[] {
  return [
    ...inCode.filter((entry) => !onPage.includes(entry)).map((entry) => `not on the page: ${entry}`),
    ...onPage.filter((entry) => !inCode.includes(entry)).map((entry) => `not in the code: ${entry}`),
  ];
}
