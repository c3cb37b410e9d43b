/**
 * The planner: what something would cost, before it is started. Owns: one function for the admin API and the command line, so
 * that both say the same. Does not own: prices (the caller's book), nor how files are read. Invariants: money is exact until
 * it is shown; an estimate never says less than the bill.
 */
import { type ApiError, isApiError } from '../domain/errors.ts';
import type { PriceBook } from './book.ts';
import {
  type CountJob,
  countJobOf,
  type FineTuneEstimate,
  type FineTuneQuestion,
  type KnownCount,
  planFineTune,
  reckonFineTune,
} from './fine-tune.ts';
import { estimatePretrain, type PretrainEstimate, type PretrainQuestion } from './pretrain.ts';
import type { TrainingCount } from './training-file.ts';
import { estimateUsage, type UsageEstimate, type UsageQuestion } from './usage.ts';

export type Question = PretrainQuestion | UsageQuestion | FineTuneQuestion;
export type Estimate = PretrainEstimate | UsageEstimate | FineTuneEstimate;

/** Where an estimate takes from what it does not compute. */
export interface Sources {
  readBook(): Promise<PriceBook>;
  /** Counts the training file that the question is about. */
  countTraining(job: CountJob): Promise<TrainingCount | KnownCount | ApiError>;
  /** Milliseconds since the epoch. */
  nowMs: number;
}

/** Returns the estimate; an error names the field that is wrong. */
export async function estimate(question: Question, sources: Sources): Promise<Estimate | ApiError> {
  if (question.kind === 'pretrain') return estimatePretrain(question);
  const book = await sources.readBook();
  if (question.kind === 'usage') return estimateUsage(question, book, sources.nowMs);
  const plan = planFineTune(question, book, sources.nowMs);
  if (isApiError(plan)) return plan;
  const count = await sources.countTraining(countJobOf(plan, book));
  return isApiError(count) ? count : reckonFineTune(plan, count, book);
}
