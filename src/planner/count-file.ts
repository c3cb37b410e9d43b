/**
 * Counts a training file with the tokeniser of its model. Owns: that the tokeniser is loaded when a file is counted, and keeps
 * nothing of the file.
 */
import { loadFileTokeniser } from '../openai/usage/tokeniser.ts';
import type { CountJob } from './fine-tune.ts';
import { boundedCount, countBytes } from './text-count.ts';
import { type TrainingCount, TrainingFile } from './training-file.ts';

/** What the tokeniser remembers of words are parts of texts, each of which keeps its whole text in memory. */
const REMEMBERED_BYTES_MAX = 1024 * 1024;

/** Returns the sums of a file that comes in pieces. */
export async function countTrainingFile(
  { encoding, imageRule, perTool, exampleTokensMax }: CountJob,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
): Promise<TrainingCount> {
  const tokeniser = encoding === null ? null : await loadFileTokeniser(encoding);
  const count = tokeniser === null ? countBytes : boundedCount(tokeniser.countTokens);
  const file = new TrainingFile({ count, imageRule, perTool }, exampleTokensMax);
  let remembered = 0;
  for await (const piece of pieces) {
    file.push(piece);
    remembered += piece.length;
    if (remembered < REMEMBERED_BYTES_MAX) continue;
    tokeniser?.forget();
    remembered = 0;
  }
  return file.end();
}
