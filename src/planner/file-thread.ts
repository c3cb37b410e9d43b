/** A thread that counts one file as its pieces come, so that no call waits for it. It says what it has taken, its sums, and ends. */
import { parentPort } from 'node:worker_threads';
import { type Model, makePrice, type PriceFields, RateCards } from '../domain/price.ts';
import { priceBook } from './book.ts';
import { FileReader } from './file-count.ts';

/** `piece` null: the file has ended. */
export type FileMessage =
  | { prices: PriceFields[]; models: Model[]; nowMs: number }
  | { piece: ArrayBuffer | null };

let reader: FileReader | null = null;
let before: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: FileMessage) => {
  // A rejection ends the thread with that error.
  before = before.then(() => take(message));
});

async function take(message: FileMessage): Promise<void> {
  if ('prices' in message) {
    const cards = new RateCards(message.prices.map(makePrice), message.models);
    reader = new FileReader(priceBook(cards, [], []), message.nowMs);
  } else if (message.piece !== null) {
    await reader?.push(Buffer.from(message.piece));
    parentPort?.postMessage({ taken: message.piece.byteLength });
  } else parentPort?.postMessage({ count: (await reader?.end()) ?? null });
}
