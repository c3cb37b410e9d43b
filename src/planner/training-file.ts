/**
 * A training file, counted line by line as it streams by. Owns: the sums that the estimate needs, the histogram of lengths and
 * the problems by line. Invariants: memory does not grow with the file; a line that cannot be read adds no tokens, because
 * the API takes no file with such a line.
 */
import { isUtf8 } from 'node:buffer';
import { type ImageInput, type ImageRule, imageTokens } from '../domain/images.ts';
import { parseJson } from '../openai/body.ts';
import { countExample, type ExampleRule } from './example.ts';
import { isTooComplex, LineSplitter } from './lines.ts';

export interface LineProblem {
  line: number;
  problem: string;
}

/** How else the same text may be trained: by models that see images, or cut examples, by other rules. */
export interface OtherWay {
  imageRule: ImageRule | null;
  exampleTokensMax: number | null;
}

export interface TrainingCount {
  bytes: number;
  examples: number;
  /** Of all examples, each cut at the longest that is trained. */
  tokens: number;
  longest: { line: number; tokens: number } | null;
  images: number;
  /** In each of the other ways; null: there is an image whose tokens no rule bounds. */
  otherTokens: (number | null)[];
  /** Examples that are longer than the longest that is trained, hence cut. */
  cut: number;
  /** Lines that are no example: broken or empty. */
  unreadable: number;
  /** How many examples have from `2^index` tokens up to twice as many. */
  histogram: number[];
  /** How many problems there are; the first of them. */
  problems: number;
  firstProblems: LineProblem[];
}

/** A line is one example; the longest model context is some megabytes of text. */
export const LINE_BYTES_MAX = 2 * 1024 * 1024;
export const PROBLEMS_SHOWN = 100;
/** Of one line: one mistake that runs through a long example is said once or twice. */
const PROBLEMS_OF_LINE_MAX = 3;
const HISTOGRAM_LENGTH = 32;

export class TrainingFile {
  readonly #rule: ExampleRule;
  readonly #tokensMax: number;
  readonly #others: readonly OtherWay[];
  readonly #lines = new LineSplitter((line, number, bytes) => this.#add(line, number, bytes), LINE_BYTES_MAX);
  readonly count: TrainingCount = {
    ...{ bytes: 0, examples: 0, tokens: 0, longest: null, images: 0, cut: 0, unreadable: 0 },
    otherTokens: [],
    ...{ histogram: Array<number>(HISTOGRAM_LENGTH).fill(0), problems: 0, firstProblems: [] },
  };

  /** @param tokensMax the longest example that is trained; null: nothing says that it is cut */
  constructor(rule: ExampleRule, tokensMax: number | null, others: readonly OtherWay[] = []) {
    this.#rule = rule;
    this.#others = others;
    this.count.otherTokens = others.map(() => 0);
    this.#tokensMax = tokensMax ?? Number.POSITIVE_INFINITY;
  }

  push(piece: Buffer): void {
    this.count.bytes += piece.length;
    this.#lines.push(piece);
  }

  /** Returns the sums, after the last piece. */
  end(): TrainingCount {
    this.#lines.end();
    return this.count;
  }

  #add(line: Buffer | null, number: number, bytes: number): void {
    if (line === null) {
      const what = `has ${bytes} bytes, more than the ${LINE_BYTES_MAX} that are read: counted as a token each`;
      this.#addCount(number, bytes, [what]);
    } else if (line.length === 0) this.#unreadable(number, 'is empty');
    else if (!isUtf8(line)) this.#unreadable(number, 'is not valid UTF-8');
    else this.#addExample(line, number);
  }

  #addExample(line: Buffer, number: number): void {
    if (isTooComplex(line)) {
      this.#addCount(number, line.length, [
        'holds too many values to be read: counted as a token for each byte',
      ]);
      return;
    }
    const json = parseJson(line.toString());
    if (json === undefined) {
      this.#unreadable(number, 'is not valid JSON');
      return;
    }
    const { tokens, textTokens, images, problems } = this.#countSafely(json, line);
    this.#addCount(number, tokens, problems, textTokens, images);
  }

  #addCount(
    number: number,
    tokens: number,
    problems: readonly string[],
    textTokens = tokens,
    images: readonly ImageInput[] = [],
  ): void {
    const { count } = this;
    count.examples++;
    count.images += images.length;
    for (const [at, way] of this.#others.entries()) {
      const sum = count.otherTokens[at] ?? null;
      const added = inWay(way, textTokens, images);
      count.otherTokens[at] = sum === null || added === null ? null : sum + added;
    }
    count.tokens += Math.min(tokens, this.#tokensMax);
    const bucket = tokens === 0 ? 0 : Math.min(HISTOGRAM_LENGTH - 1, Math.floor(Math.log2(tokens)));
    count.histogram[bucket] = (count.histogram[bucket] ?? 0) + 1;
    if (tokens > (count.longest?.tokens ?? -1)) count.longest = { line: number, tokens };
    if (tokens > this.#tokensMax) {
      count.cut++;
      this.#problem(number, `has ${tokens} tokens; what is beyond ${this.#tokensMax} is not trained`);
    }
    for (const problem of problems.slice(0, PROBLEMS_OF_LINE_MAX)) this.#problem(number, problem);
  }

  #countSafely(json: NonNullable<ReturnType<typeof parseJson>> | null, line: Buffer) {
    try {
      return countExample(json, this.#rule);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const tokens = line.length;
      return { tokens, textTokens: tokens, images: [], problems: ['is nested too deep to be read'] };
    }
  }

  #unreadable(line: number, problem: string): void {
    this.count.unreadable++;
    this.#problem(line, problem);
  }

  #problem(line: number, problem: string): void {
    this.count.problems++;
    if (this.count.firstProblems.length < PROBLEMS_SHOWN) this.count.firstProblems.push({ line, problem });
  }
}

/** What an example adds in one of the other ways; null: nothing bounds one of its images. */
function inWay({ imageRule, exampleTokensMax }: OtherWay, textTokens: number, images: readonly ImageInput[]) {
  let tokens = textTokens;
  for (const image of images) {
    const seen = imageRule === null ? null : imageTokens(imageRule, image);
    if (seen === null) return null;
    tokens += seen;
  }
  return Math.min(tokens, exampleTokensMax ?? tokens);
}
