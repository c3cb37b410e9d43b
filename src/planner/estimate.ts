/**
 * The planner: what something would cost, before it is started. Owns: one function for the admin API and the command line, so
 * that both say the same. Does not own: prices (the caller's book), nor how files are read. Invariants: money is exact until
 * it is shown; an estimate never says less than the bill.
 */
import { type ApiError, isApiError } from '../domain/errors.ts';
import { type BatchEstimate, BatchFile, type BatchQuestion } from './batch.ts';
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

export type Question = PretrainQuestion | UsageQuestion | FineTuneQuestion | BatchQuestion;
export type Estimate = PretrainEstimate | UsageEstimate | FineTuneEstimate | BatchEstimate;

/** Where an estimate takes from what it does not compute. */
export interface Sources {
  readBook(): Promise<PriceBook>;
  /** Counts the training file that the question is about. */
  countTraining(job: CountJob): Promise<TrainingCount | KnownCount | ApiError>;
  /** Sends the pieces of the batch's input file; returns an error when it cannot be read. */
  readBatch(push: (piece: Buffer) => void): Promise<null | ApiError>;
  /** Milliseconds since the epoch. */
  nowMs: number;
}

/** Returns the estimate; an error names the field that is wrong. */
export async function estimate(question: Question, sources: Sources): Promise<Estimate | ApiError> {
  if (question.kind === 'pretrain') return estimatePretrain(question);
  const book = await sources.readBook();
  if (question.kind === 'usage') return estimateUsage(question, book, sources.nowMs);
  if (question.kind === 'batch') {
    const file = new BatchFile(question, book, sources.nowMs);
    return (await sources.readBatch((piece) => file.push(piece))) ?? file.end();
  }
  const plan = planFineTune(question, book, sources.nowMs);
  if (isApiError(plan)) return plan;
  const count = await sources.countTraining(countJobOf(plan, book));
  return isApiError(count) ? count : reckonFineTune(plan, count, book);
}
