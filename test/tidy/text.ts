/** The rules about a file's text: its size, and words that it must not have. */
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

/** One place knows what differs between operations: elsewhere nothing compares with the name of one. */
export function operationNames(files: readonly SourceFile[], names: readonly string[]): string[] {
  const quoted = names.map((name) => `'${name.replaceAll('.', '\\.')}'`).join('|');
  const comparison = new RegExp(
    `[=!]==\\s*(?:${quoted})|(?:${quoted})\\s*[=!]==|\\bcase\\s+(?:${quoted})\\s*:`,
  );
  return files
    .filter(
      ({ path }) => path.startsWith('src/') && !/^src\/(?:openai\/operations|simulator|demo)\b/.test(path),
    )
    .flatMap(({ path, text }) =>
      comparison.test(text) ? [`${path}: asks which operation it is; that is a field of its descriptor`] : [],
    );
}

const SMALL_LINES = 50;

/** A room in which most files are small is an algorithm in splinters. */
export function splinters(files: readonly SourceFile[]): string[] {
  const rooms = Map.groupBy(
    files.filter(({ path }) => /^src\/[^/]+\/.*\.tsx?$/.test(path)),
    ({ path }) => path.split('/')[1] ?? '',
  );
  return [...rooms].flatMap(([room, all]) => {
    const small = all.filter(({ text }) => text.trimEnd().split('\n').length < SMALL_LINES);
    return small.length * 2 > all.length
      ? [`src/${room}: ${small.length} of ${all.length} files have fewer than ${SMALL_LINES} lines`]
      : [];
  });
}

/** Targets of links that a text has more than once. */
export function repeated(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)]+\.ts)\)/g)].map(([, target]) => target ?? '');
  return targets.filter((target, index) => targets.indexOf(target) !== index);
}

const COMMENT = /\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/.*/g;
const TEXT = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g;
/** A function returns, a server responds; processes are components, no persons. */
const UNPLAIN = /\b(?:answers|answered|nobody|somebody|anybody|whoever|told|anew|in force|for want of)\b/i;
/** Of STYLE's "never say": those that no library or standard uses as a name of its own. */
const NEVER = new Set(['refusal', 'refusals', 'fault', 'faults', 'allowance', 'bonus', 'finalize', 'refund']);

/** Comments and names in plain words. The simulator injects faults: that is the usual term. */
export function words(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path.startsWith('src/'))
    .flatMap(({ path, text }) => [
      ...(text.match(COMMENT) ?? []).flatMap((comment) => {
        const [word] = UNPLAIN.exec(comment) ?? [];
        return word === undefined ? [] : [`${path}: a comment has "${word}"`];
      }),
      ...(path.startsWith('src/simulator/') ? [] : neverSaid(path, text)),
    ]);
}

function neverSaid(path: string, text: string): string[] {
  const code = text.replace(COMMENT, '').replace(TEXT, '');
  const names = new Set(code.match(/\b[A-Za-z][A-Za-z0-9]*\b/g) ?? []);
  return [...names]
    .filter((name) => name.split(/(?=[A-Z][a-z])/).some((part) => NEVER.has(part.toLowerCase())))
    .map((name) => `${path}: the name ${name}`);
}
