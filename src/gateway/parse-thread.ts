/** A thread that reads large bodies, one after the other (parse-threads.ts). */
import { parentPort } from 'node:worker_threads';
import { ApiError } from '../domain/errors.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { locateMembers, type ParsedRequest, readRequest } from '../openai/request.ts';
import { lowerPriority } from '../planner/low-priority.ts';
import type { ParseJob, ParseReply } from './parse-threads.ts';

lowerPriority();

function read(
  { operation, route, length, bounds, scanned, parts }: ParseJob,
  body: ArrayBuffer,
): ParsedRequest | ApiError {
  const descriptor = OPERATIONS.find(({ name }) => name === operation);
  if (descriptor === undefined) throw new Error(`there is no operation ${operation}`);
  return readRequest({ descriptor, ...route }, Buffer.from(body, 0, length), bounds, scanned, parts);
}

function joined({ body, length }: ParseJob): ArrayBuffer {
  if (body instanceof ArrayBuffer) return body;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const slab of body) {
    whole.set(new Uint8Array(slab, 0, Math.min(slab.byteLength, length - at)), at);
    at += slab.byteLength;
  }
  return whole.buffer;
}

parentPort?.on('message', (job: ParseJob) => {
  const given = joined(job);
  const request = read(job, given);
  if (request instanceof ApiError) {
    parentPort?.postMessage({ kind: 'error', error: request } satisfies ParseReply);
    return;
  }
  locateMembers(request);
  const { descriptor, body, ...rest } = request;
  // A body that was rewritten is no more than a few bytes of a larger buffer.
  const own = body.buffer === given ? given : new Uint8Array(body).buffer;
  parentPort?.postMessage(
    { kind: 'request', request: rest, body: own, length: body.length } satisfies ParseReply,
    [own],
  );
});
