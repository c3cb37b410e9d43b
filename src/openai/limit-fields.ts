/** The names of a chat's output limit: a server that speaks the API may read another one than OpenAI does. */
import type { Operation } from '../domain/operation.ts';
import type { LimitFields } from '../domain/upstream.ts';
import type { JsonObject } from './body.ts';
import type { Descriptor } from './operations/descriptor.ts';

/**
 * Writes the limit, Tollgate's or the client's, under every name that is to be sent and that the client left out.
 * @param written the fields to be written into the request so far
 * @param limits the names under which the client set one
 */
export function addLimitFields(
  written: JsonObject,
  names: LimitFields,
  { outputLimitField, olderLimitField }: Descriptor,
  { outputTokensLimit }: Operation,
  limits: readonly string[],
): void {
  if (outputLimitField === null || olderLimitField === null) return;
  const limit = written[outputLimitField] ?? outputTokensLimit;
  if (limit === null) return;
  if (names === olderLimitField) delete written[outputLimitField];
  for (const name of [outputLimitField, olderLimitField]) {
    const isWanted = names === 'both' || names === name;
    if (isWanted && !limits.includes(name)) written[name] = limit;
  }
}
