/** A thread that counts one file as its pieces come, so that no call waits for it. It says what it has taken, its sums, and ends. */
import { parentPort } from 'node:worker_threads';
import { type Model, makePrice, type PriceFields, RateCards } from '../domain/price.ts';
import { priceBook, type TrainingPrice } from './book.ts';
import { FileReader } from './file-count.ts';

/** `piece` null: the file has ended. */
export type FileMessage =
  | { prices: PriceFields[]; models: Model[]; training: readonly TrainingPrice[]; nowMs: number }
  | { piece: ArrayBuffer | null };

let reader: FileReader | null = null;
let before: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: FileMessage) => {
  // A rejection ends the thread with that error.
  before = before.then(() => take(message));
});

function bookOf(cards: RateCards, { prices, training }: Extract<FileMessage, { prices: unknown }>) {
  const rows = prices.map(({ id, model }) => ({ id, model, source: '' }));
  return priceBook(cards, rows, training);
}

async function take(message: FileMessage): Promise<void> {
  if ('prices' in message) {
    const cards = new RateCards(message.prices.map(makePrice), message.models);
    reader = new FileReader(bookOf(cards, message), message.nowMs);
  } else if (message.piece !== null) {
    await reader?.push(Buffer.from(message.piece));
    parentPort?.postMessage({ taken: message.piece.byteLength });
  } else parentPort?.postMessage({ count: (await reader?.end()) ?? null });
}
