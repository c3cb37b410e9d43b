/** A thread that counts one file after another as their pieces come, so that no call waits for it. It says what it has taken, and sums. */
import { parentPort } from 'node:worker_threads';
import { type ApiError, type ErrorCode, isApiError } from '../domain/errors.ts';
import { type Model, makePrice, type PriceFields, RateCards, type TrainingPrice } from '../domain/price.ts';
import { priceBook } from './book.ts';
import { EvalRunItems, type EvalRunQuestion } from './eval-run.ts';
import { FileReader } from './file-count.ts';
import { lowerPriority } from './low-priority.ts';

lowerPriority();

/** `piece` null: the file has ended. */
export type FileMessage = BeginFile | { piece: ArrayBuffer | null };

export interface BeginFile {
  readonly prices: PriceFields[];
  readonly models: Model[];
  readonly training: readonly TrainingPrice[];
  readonly nowMs: number;
  /** It has the items of a run; null: it is one of any kind. */
  readonly run: EvalRunQuestion | null;
}

/** What is wrong with a run, as plain data. */
export interface RunProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
}

interface Reader {
  push(piece: Buffer): void | Promise<void>;
  end(): unknown;
}

let reader: Reader | null = null;
let before: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: FileMessage) => {
  // A rejection ends the thread with that error.
  before = before.then(() => take(message));
});

function bookOf({ prices, models, training }: BeginFile) {
  const rows = prices.map(({ id, model }) => ({ id, model, source: '' }));
  return priceBook(new RateCards(prices.map(makePrice), models), rows, training);
}

function readerOf(message: BeginFile): Reader {
  const { run, nowMs } = message;
  const book = bookOf(message);
  if (run === null) return new FileReader(book, nowMs);
  const items = EvalRunItems.begin(run, book, nowMs);
  if (isApiError(items)) return { push: () => {}, end: () => problemOf(items) };
  return {
    push: (piece) => items.push(piece),
    end: () => {
      const count = items.end();
      return isApiError(count) ? problemOf(count) : count;
    },
  };
}

function problemOf({ code, message, param }: ApiError): RunProblem {
  return { code, message, param };
}

async function take(message: FileMessage): Promise<void> {
  if ('prices' in message) reader = readerOf(message);
  else if (message.piece !== null) {
    await reader?.push(Buffer.from(message.piece));
    parentPort?.postMessage({ taken: message.piece.byteLength });
  } else {
    const count = (await reader?.end()) ?? null;
    reader = null;
    parentPort?.postMessage({ count });
  }
}
