/**
 * A training file counted before it is known which model it trains. Owns: in which ways the models that have a price of training
 * count, and the sums of a file in all of them. Invariant: a sum is at least what its way would count of the file alone.
 */
import { isApiError } from '../domain/errors.ts';
import type { ImageRule } from '../domain/images.ts';
import { type FileTokeniser, loadFileTokeniser } from '../openai/usage/tokeniser.ts';
import type { PriceBook } from './book.ts';
import { type CountJob, countJobOf, planFineTune } from './fine-tune.ts';
import { boundedCount } from './text-count.ts';
import { type OtherWay, type TrainingCount, TrainingFile } from './training-file.ts';

/** Those of models that may still be trained, the usual one first. */
const ENCODINGS = ['o200k_base', 'cl100k_base'] as const;
type WayEncoding = (typeof ENCODINGS)[number];

/** How some models count: plain data, so that it can be sent to a thread. */
interface Way extends OtherWay {
  encoding: WayEncoding;
  perTool: number;
}

interface WayCount {
  encoding: WayEncoding;
  /** As JSON; null: images are not seen. */
  imageRule: string | null;
  exampleTokensMax: number | null;
  /** Null: nothing bounds one of the images. */
  tokens: number | null;
}

/** Returns each way once in which a model is counted that has a price of training by tokens. */
export function waysOf(book: PriceBook, nowMs: number): Way[] {
  const ways = new Map<string, Way>();
  for (const model of new Set([...book.training.map((price) => price.model), ...book.models])) {
    const plan = planFineTune({ kind: 'fine_tune', model, epochs: 1 }, book, nowMs);
    if (isApiError(plan) || plan.price.meter !== 'trained_tokens') continue;
    const { encoding: name, imageRule, perTool, exampleTokensMax } = countJobOf(plan, book);
    const encoding = ENCODINGS.find((each) => each === name);
    if (encoding === undefined) continue;
    const way = { encoding, imageRule, perTool, exampleTokensMax };
    ways.set(JSON.stringify(way), way);
  }
  return [...ways.values()];
}

/** Returns what was counted as a job's model counts; null: its way is not among them. */
export function countedAs(
  { ways, images }: { ways: readonly WayCount[]; images: number },
  { encoding, imageRule, exampleTokensMax }: CountJob,
): WayCount | null {
  const same = ways.filter((way) => way.encoding === encoding);
  const rule = ruleText(imageRule);
  const exact = same.find((way) => way.imageRule === rule && way.exampleTokensMax === exampleTokensMax);
  if (exact !== undefined || images > 0) return exact ?? null;
  // Without images their rule does not matter, and an example that is not cut is not shorter.
  return same.find((way) => way.exampleTokensMax === null) ?? null;
}

function ruleText(rule: ImageRule | null): string | null {
  return rule === null ? null : JSON.stringify(rule);
}

/** So much of a file is counted by a second encoding; of what is behind, each byte is taken for a token. */
const SECOND_BYTES_MAX = 32 * 1024 * 1024;
const LF = 0x0a;

/** Counts a file in all ways at once: its text once for each encoding. */
export class WaysReader {
  readonly #passes: Pass[];

  private constructor(passes: Pass[]) {
    this.#passes = passes;
  }

  /** Loads the tokenisers. */
  static async load(ways: readonly Way[]): Promise<WaysReader> {
    const passes: Pass[] = [];
    for (const encoding of ENCODINGS) {
      const own = ways.filter((way) => way.encoding === encoding);
      // The first encoding is always counted: it says how many examples there are.
      if (own.length === 0 && encoding !== ENCODINGS[0]) continue;
      const bytesMax = passes.length === 0 ? Number.POSITIVE_INFINITY : SECOND_BYTES_MAX;
      passes.push(new Pass(await loadFileTokeniser(encoding), own, bytesMax));
    }
    return new WaysReader(passes);
  }

  push(piece: Buffer): void {
    for (const pass of this.#passes) pass.push(piece);
  }

  /** Has the tokenisers forget words: each keeps the text that it was a part of. */
  forget(): void {
    for (const pass of this.#passes) pass.tokeniser.forget();
  }

  end(): { examples: number; longest: number; images: number; ways: WayCount[] } {
    const ended = this.#passes.map((pass) => pass.end());
    const { examples = 0, longest = null, images = 0 } = ended[0]?.count ?? {};
    return {
      ...{ examples, images, longest: longest?.tokens ?? 0 },
      ways: ended.flatMap(({ ways }) => ways),
    };
  }
}

/** One encoding. */
class Pass {
  readonly tokeniser: FileTokeniser;
  readonly #ways: readonly Way[];
  readonly #file: TrainingFile;
  #leftBytes: number;
  #isOver = false;
  #uncounted = 0;

  constructor(tokeniser: FileTokeniser, ways: readonly Way[], bytesMax: number) {
    this.tokeniser = tokeniser;
    this.#ways = ways;
    this.#leftBytes = bytesMax;
    const rule = {
      count: boundedCount(tokeniser.countTokens),
      imageRule: null,
      perTool: Math.max(0, ...ways.map(({ perTool }) => perTool)),
    };
    this.#file = new TrainingFile(rule, null, ways);
  }

  push(piece: Buffer): void {
    let counted = piece;
    if (!this.#isOver && piece.length > this.#leftBytes) {
      const end = piece.indexOf(LF);
      // A line that has begun is counted to its end.
      if (end !== -1) {
        counted = piece.subarray(0, end + 1);
        this.#isOver = true;
        this.#uncounted += piece.length - counted.length;
      }
    } else if (this.#isOver) {
      this.#uncounted += piece.length;
      return;
    }
    this.#leftBytes -= counted.length;
    this.#file.push(counted);
  }

  end(): { count: TrainingCount; ways: WayCount[] } {
    const count = this.#file.end();
    const ways = this.#ways.map(({ encoding, imageRule, exampleTokensMax }, at) => {
      const tokens = count.otherTokens[at] ?? null;
      return {
        ...{ encoding, imageRule: ruleText(imageRule), exampleTokensMax },
        tokens: tokens === null ? null : tokens + this.#uncounted,
      };
    });
    return { count, ways };
  }
}
