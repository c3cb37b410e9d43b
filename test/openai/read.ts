/** Reading a request in tests: from a value or from the exact text. */
import { type ApiError, isApiError } from '../../src/domain/errors.ts';
import type { UsagePlace } from '../../src/openai/operations/descriptor.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { findRoute, type ParsedRequest, readRequest } from '../../src/openai/request.ts';
import { SCAN_BOUNDS } from '../../src/openai/scan.ts';

export type PostPath = 'chat/completions' | 'responses' | 'embeddings' | 'completions' | 'moderations';

export function read(path: PostPath, body: unknown): ParsedRequest | ApiError {
  const route = findRoute('POST', `/v1/${path}`);
  if (route === null) throw new Error(`no route ${path}`);
  return readRequest(
    route,
    Buffer.isBuffer(body) ? body : Buffer.from(textOf(body)),
    SCAN_BOUNDS,
    null,
    'all',
  );
}

/** Where the usage of an operation's responses stands. */
export function usagePlace(name: string): UsagePlace {
  const usage = OPERATIONS.find((operation) => operation.name === name)?.usage;
  if (!usage) throw new Error(`${name} reports no usage`);
  return usage;
}

function textOf(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

/** The request, when the test is not about its refusal. */
export function accepted(path: PostPath, body: unknown): ParsedRequest {
  const request = read(path, body);
  if (isApiError(request)) throw new Error(`refused: ${request.code} ${request.param}: ${request.message}`);
  return request;
}

export const chat = (fields: object = {}) => ({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hello' }],
  ...fields,
});

export const response = (fields: object = {}) => ({ model: 'gpt-5', input: 'Hello', ...fields });
