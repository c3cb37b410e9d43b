/** Reading a request's body: whole, bounded, and never longer than the client keeps its connection. */
import type { IncomingMessage } from 'node:http';
import { type ApiError, apiError } from '../domain/errors.ts';

const EMPTY = Buffer.alloc(0);

/**
 * How long the rest of a body that is too large is read and thrown away. Its refusal waits for that: a client that is
 * still writing when the connection closes gets a broken pipe to see, and no answer.
 */
const DISCARD_MS = 5000;

/** Answers the body, a ApiError when it is too large, or null when the client left before it was complete. */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | ApiError | null> {
  // It left while its key was looked up: no event will come any more.
  if (request.destroyed) return Promise.resolve(null);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return refuse(request, maxBytes);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else {
        request.removeAllListeners('data');
        resolve(refuse(request, maxBytes));
      }
    });
    request.on('end', () =>
      resolve(chunks.length === 1 ? chunks[0]! : chunks.length === 0 ? EMPTY : Buffer.concat(chunks)),
    );
    request.on('close', () => resolve(null));
    request.on('error', () => resolve(null));
  });
}

function refuse(request: IncomingMessage, maxBytes: number): Promise<ApiError | null> {
  const refusal = apiError(
    'request_too_large',
    `The body is larger than ${maxBytes} bytes, the limit of this gateway.`,
  );
  request.resume();
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve(refusal);
      // Once the refusal is written, which takes no more than this turn.
      setImmediate(() => request.socket.destroySoon());
    }, DISCARD_MS);
    request.on('end', () => resolve(refusal));
    request.on('error', () => resolve(null));
    request.on('close', () => {
      clearTimeout(timer);
      resolve(null);
    });
  });
}
