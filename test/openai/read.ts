/** Reading a request in tests: from a value or from the exact text. */
import type { ApiError } from '../../src/domain/errors.ts';
import { findRoute } from '../../src/openai/operations.ts';
import { type ParsedRequest, readOperation } from '../../src/openai/request.ts';

export type PostPath = 'chat/completions' | 'responses' | 'embeddings' | 'completions' | 'moderations';

export function read(path: PostPath, body: unknown): ParsedRequest | ApiError {
  const route = findRoute('POST', `/v1/${path}`);
  if (route === null) throw new Error(`no route ${path}`);
  return readOperation(route, Buffer.isBuffer(body) ? body : Buffer.from(textOf(body)));
}

function textOf(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

/** The request, when the test is not about its refusal. */
export function accepted(path: PostPath, body: unknown): ParsedRequest {
  const request = read(path, body);
  if ('code' in request) throw new Error(`refused: ${request.code} ${request.param}: ${request.message}`);
  return request;
}

export const chat = (fields: object = {}) => ({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hello' }],
  ...fields,
});

export const response = (fields: object = {}) => ({ model: 'gpt-5', input: 'Hello', ...fields });
