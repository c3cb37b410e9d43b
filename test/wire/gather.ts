import type { BodyEnd, BodyReader } from '../../src/wire/exchange.ts';

/** Gathers a body whole; calls back with it, or with how it ended instead. */
export function gather(
  maxBytes: number,
  done: (body: Buffer | Exclude<BodyEnd, 'complete'>) => void,
): BodyReader {
  const pieces: Buffer[] = [];
  return {
    maxBytes,
    take(piece) {
      pieces.push(piece);
      return true;
    },
    done: (end) => done(end === 'complete' ? Buffer.concat(pieces) : end),
  };
}
