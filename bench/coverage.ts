/** Which files a call needs, from V8's precise coverage (Chrome DevTools Protocol, `Profiler.ScriptCoverage`). Pure. */

export interface ScriptCoverage {
  url: string;
  functions: { functionName: string; ranges: { count: number }[] }[];
}

/** A file counts when it ran in at least this share of the calls: timers in the background hit only some of them. */
const SHARE_OF_CALLS = 0.9;

/**
 * Returns the file in `src/` that a script was made from, or null when it is none of ours. The gateway may run a copy
 * without types elsewhere: what counts is the path below the last `src/`, if `isSource` knows a TypeScript file there.
 */
export function sourceOf(url: string, isSource: (path: string) => boolean): string | null {
  const path = decodeURIComponent(url.replace(/[?#].*$/, '')).replaceAll('\\', '/');
  if (path.includes('/node_modules/')) return null;
  const start = path.lastIndexOf('/src/');
  if (start < 0) return null;
  const stem = path.slice(start + 1).replace(/\.[cm]?[jt]sx?$/, '');
  const source = [`${stem}.ts`, `${stem}.tsx`].find(isSource);
  return source ?? null;
}

/** Returns the files of which a function ran. */
export function filesRun(
  scripts: readonly ScriptCoverage[],
  isSource: (path: string) => boolean,
): Set<string> {
  const files = new Set<string>();
  for (const { url, functions } of scripts) {
    const source = sourceOf(url, isSource);
    if (source === null) continue;
    if (functions.some(({ ranges }) => (ranges[0]?.count ?? 0) > 0)) files.add(source);
  }
  return files;
}

export interface FilesOfACall {
  /** Run in nearly every call, sorted. */
  always: string[];
  /** Run in some of them: rare paths, and work in the background. */
  sometimes: string[];
}

/** Splits the files that ran during each of several calls. */
export function filesOfACall(calls: readonly ReadonlySet<string>[]): FilesOfACall {
  const all = [...new Set(calls.flatMap((files) => [...files]))].sort();
  const inEnough = (file: string) =>
    calls.filter((files) => files.has(file)).length >= calls.length * SHARE_OF_CALLS;
  return { always: all.filter(inEnough), sometimes: all.filter((file) => !inEnough(file)) };
}
