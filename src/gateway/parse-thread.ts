/** A thread that reads large bodies, one after the other (parse-threads.ts). */
import { parentPort } from 'node:worker_threads';
import { ApiError } from '../domain/errors.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { locateMembers, type ParsedRequest, readRequest } from '../openai/request.ts';
import type { ParseJob, ParseReply } from './parse-threads.ts';

function read({
  operation,
  route,
  body,
  length,
  bounds,
  scanned,
  parts,
}: ParseJob): ParsedRequest | ApiError {
  const descriptor = OPERATIONS.find(({ name }) => name === operation);
  if (descriptor === undefined) throw new Error(`there is no operation ${operation}`);
  return readRequest({ descriptor, ...route }, Buffer.from(body, 0, length), bounds, scanned, parts);
}

parentPort?.on('message', (job: ParseJob) => {
  const request = read(job);
  if (request instanceof ApiError) {
    parentPort?.postMessage({ kind: 'error', error: request } satisfies ParseReply);
    return;
  }
  locateMembers(request);
  const { descriptor, body, ...rest } = request;
  // A body that was rewritten is no more than a few bytes of a larger buffer.
  const own = body.buffer === job.body ? job.body : new Uint8Array(body).buffer;
  parentPort?.postMessage(
    { kind: 'request', request: rest, body: own, length: body.length } satisfies ParseReply,
    [own],
  );
});
