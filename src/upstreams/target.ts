/**
 * Targets: what a call needs to know of the upstream that it takes, where there are several: the headers and paths of its
 * dialect, and its own names of models.
 */
import type { UpstreamHealth } from './health.ts';

/** What a call needs to know of the upstream that it takes, where there are several. */
export interface Target {
  readonly name: string;
  /** Headers that every request gets, its key among them, as name, value, name, value … */
  readonly headers: readonly string[];
  /** The client's names of models that have another name here. */
  readonly modelNames: ReadonlyMap<string, string>;
  /** Whether a stream may be asked for its usage. */
  readonly usageInStreams: boolean;
  readonly health: UpstreamHealth;
  /** A call that takes longer is stopped; null: no call is. In ms. */
  readonly callMs: number | null;
  /** Returns the path below the base URL at which the upstream has an operation. @param model by its name here */
  pathOf(path: string, model: string | null): string;
}

/** Puts the client's name of a model where the upstream wrote its own. */
export class NamesBack {
  readonly #pattern: RegExp;
  readonly #name: string;

  constructor(name: string, upstreamName: string) {
    const written = latin1(JSON.stringify(upstreamName)).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    this.#pattern = new RegExp(`("model"\\s*:\\s*)${written}`, 'g');
    // A replacement's dollar signs would mean something.
    this.#name = latin1(JSON.stringify(name)).replaceAll('$', '$$$$');
  }

  /** Returns whole lines, or a whole body, with the names replaced. Within a string quotes are escaped: nothing there matches. */
  replaced(bytes: Buffer): Buffer {
    const text = bytes.toString('latin1');
    const replaced = text.replace(this.#pattern, `$1${this.#name}`);
    return replaced === text ? bytes : Buffer.from(replaced, 'latin1');
  }
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Returns whether a model's name fits one of the patterns, in which `*` stands for any characters. */
export function matcherOf(patterns: readonly string[]): (model: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const parts = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'));
  return (model) => exact.has(model) || parts.some((each) => fits(model, each));
}

/** Without an expression, whose time could grow with the name. */
function fits(name: string, [first = '', ...rest]: readonly string[]): boolean {
  const last = rest.at(-1) ?? '';
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
    return false;
  let at = first.length;
  const end = name.length - last.length;
  for (const part of rest.slice(0, -1)) {
    const found = name.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
