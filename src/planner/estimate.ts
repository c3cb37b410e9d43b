/**
 * The planner: what something would cost, before it is started. Owns: one function for the admin API and the command line, so
 * that both say the same. Does not own: prices (the caller's book), nor how files are read. Invariants: money is exact until
 * it is shown; an estimate never says less than the bill.
 */
import type { ApiError } from '../domain/errors.ts';
import type { PriceBook } from './book.ts';
import { estimatePretrain, type PretrainEstimate, type PretrainQuestion } from './pretrain.ts';
import { estimateUsage, type UsageEstimate, type UsageQuestion } from './usage.ts';

export type Question = PretrainQuestion | UsageQuestion;
export type Estimate = PretrainEstimate | UsageEstimate;

/** Returns the estimate at the prices of the book, which is read where one is needed; an error names the field that is wrong. */
export async function estimate(
  question: Question,
  readBook: () => Promise<PriceBook>,
  nowMs: number,
): Promise<Estimate | ApiError> {
  switch (question.kind) {
    case 'pretrain':
      return estimatePretrain(question);
    case 'usage':
      return estimateUsage(question, await readBook(), nowMs);
  }
}
