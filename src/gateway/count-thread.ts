/** A thread that counts inputs by published encodings, one after the other (counting.ts). */
import { parentPort } from 'node:worker_threads';
import { ApiError } from '../domain/errors.ts';
import type { Encoding } from '../domain/upstream.ts';
import { parseBytes } from '../openai/body.ts';
import { type InputParts, readInputParts } from '../openai/input-parts.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { readRequest } from '../openai/request.ts';
import { scanWhole } from '../openai/scan.ts';
import { InputCount, loadSplit } from '../openai/usage/count-input.ts';
import { loadTokeniser } from '../openai/usage/tokeniser.ts';
import { COUNTING, type CountJob } from './count-job.ts';

const loaded = new Map<Encoding, Promise<InputCount>>();

function load(encoding: Encoding): Promise<InputCount> {
  const known = loaded.get(encoding);
  if (known !== undefined) return known;
  const loading = Promise.all([loadTokeniser(encoding), loadSplit(encoding)]).then(
    ([countTokens, split]) => new InputCount(countTokens, split),
  );
  loaded.set(encoding, loading);
  return loading;
}

async function count({
  operation,
  path,
  model,
  bytes,
  bounds,
  encoding,
}: CountJob): Promise<InputParts | null> {
  const descriptor = OPERATIONS.find(({ name }) => name === operation);
  if (descriptor === undefined) return null;
  const counter = await load(encoding);
  parentPort?.postMessage(COUNTING);
  const body = Buffer.from(bytes);
  const text = body.toString('latin1');
  if (scanWhole(text, bounds).ambiguous) return null;
  const request = readRequest({ descriptor, path, model, objects: null }, body, bounds);
  const json = parseBytes(body, text);
  if (request instanceof ApiError || json instanceof ApiError) return null;
  return readInputParts(request, json, text, counter);
}

parentPort?.on('message', (job: CountJob) => {
  // What cannot be counted is held at its bytes.
  count(job).then(
    (parts) => parentPort?.postMessage(parts),
    () => parentPort?.postMessage(null),
  );
});
