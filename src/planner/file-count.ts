/**
 * What is kept of a file that jobs may read: its size, and what its lines may cost. Owns: whether a file is of examples
 * or of calls, and its sums. Pure but for the tokeniser.
 */
import { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import { isObject, parseJson } from '../openai/body.ts';
import { BatchFile } from './batch.ts';
import type { PriceBook } from './book.ts';
import { isTooComplex } from './lines.ts';
import { LINE_BYTES_MAX } from './training-file.ts';
import { WaysReader, waysOf } from './training-ways.ts';

const count = z.number().int().min(0);

export const fileCount = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('training'),
    examples: count,
    longest: count,
    images: count,
    /** Of all examples, as the models that may be trained count them; null: nothing bounds one of the images. */
    ways: z.array(
      z.object({
        encoding: z.enum(['o200k_base', 'cl100k_base']),
        /** The rule as JSON; null: images are not seen. */
        imageRule: z.string().nullable(),
        exampleTokensMax: count.nullable(),
        tokens: count.nullable(),
      }),
    ),
  }),
  z.object({
    kind: z.literal('batch'),
    lines: count,
    /** Why the lines cannot be held; null: they can. */
    problem: z.string().nullable(),
    models: z.array(
      z.object({
        model: z.string(),
        operation: z.string(),
        lines: count,
        inputTokens: count,
        outputTokens: count,
      }),
    ),
    /** At most, in a batch, at the prices of these rows. */
    usd: z.string(),
    priceIds: z.record(z.string(), z.string()),
  }),
]);
export type FileCount = z.infer<typeof fileCount>;

/** What is recorded of a file with its team. */
export const storedFile = z.object({
  bytes: count.optional(),
  purpose: z.string().optional(),
  /** One of an earlier release, which said less, is none. */
  count: fileCount.optional().catch(undefined),
});
export type FileFacts = z.infer<typeof storedFile>;

/** Whether a line is a call: it says so by a name of its own, wherever that stands. One that cannot be read is taken by the look of it. */
function isCall(line: Buffer): boolean {
  const json = isTooComplex(line) ? undefined : parseJson(line.toString());
  return isObject(json) ? Object.hasOwn(json, 'custom_id') : line.includes('"custom_id"');
}

/** What may stand before the brace of the first line: a byte order mark, as latin1, and spaces. */
const BEFORE_LINE = /^(?:\u00ef\u00bb\u00bf)?\s*(?=\{)/;
const SPACES_MAX = 4096;
/** What the tokeniser remembers of words are parts of texts, each of which keeps its whole text in memory. */
const REMEMBERED_BYTES_MAX = 1024 * 1024;

/** Counts one file as its pieces come. A file that holds no lines of JSON has no count. */
export class FileReader {
  readonly #book: PriceBook;
  readonly #nowMs: number;
  /** The first line, as far as it came; null: of which kind the file is has been seen. */
  #head: Buffer[] | null = [];
  #headBytes = 0;
  #batch: BatchFile | null = null;
  #training: WaysReader | null = null;
  #remembered = 0;

  constructor(book: PriceBook, nowMs: number) {
    this.#book = book;
    this.#nowMs = nowMs;
  }

  async push(piece: Buffer): Promise<void> {
    if (this.#head !== null) {
      // The piece's memory may be written again before the rest of the line comes.
      this.#head.push(Buffer.from(piece));
      this.#headBytes += piece.length;
      if (this.#headBytes <= LINE_BYTES_MAX && !piece.includes('\n')) return;
      await this.#begin();
      return;
    }
    this.#add(piece);
  }

  async end(): Promise<FileCount | null> {
    if (this.#head !== null) await this.#begin();
    if (this.#batch !== null) return this.#batchCount(this.#batch);
    if (this.#training === null) return null;
    return { kind: 'training', ...this.#training.end() };
  }

  async #begin(): Promise<void> {
    const head = Buffer.concat(this.#head ?? []);
    this.#head = null;
    const start = BEFORE_LINE.exec(head.toString('latin1', 0, SPACES_MAX))?.[0].length;
    if (start === undefined) return;
    const end = head.indexOf('\n', start);
    if (isCall(head.subarray(start, end === -1 ? head.length : end)))
      this.#batch = new BatchFile({ kind: 'batch', is_held: true }, this.#book, this.#nowMs);
    else this.#training = await WaysReader.load(waysOf(this.#book, this.#nowMs));
    this.#add(head);
  }

  #add(piece: Buffer): void {
    this.#batch?.push(piece);
    this.#training?.push(piece);
    this.#remembered += piece.length;
    if (this.#remembered < REMEMBERED_BYTES_MAX) return;
    this.#training?.forget();
    this.#remembered = 0;
  }

  #batchCount(file: BatchFile): FileCount {
    const found = file.end();
    if (isApiError(found))
      return { kind: 'batch', lines: 0, problem: found.message, models: [], usd: '0.00', priceIds: {} };
    const [first] = found.problems;
    const priceIds: Record<string, string> = {};
    for (const { model } of found.models) {
      const price = this.#book.cards.find(model, this.#nowMs)?.tiers.batch;
      if (price !== undefined) priceIds[model] = price.id;
    }
    return {
      kind: 'batch',
      lines: found.lines,
      problem: first === undefined ? null : `line ${first.line}: ${first.problem}`.slice(0, 500),
      models: found.models.map(({ model, operation, lines, input_tokens, output_tokens }) => ({
        ...{ model, operation, lines, inputTokens: input_tokens, outputTokens: output_tokens },
      })),
      usd: found.batch_usd,
      priceIds,
    };
  }
}
