/** Errors of calls that cannot be priced: nothing is known of what they cost, or nothing bounds it. */
import { type ApiError, apiError } from './errors.ts';
import { quote } from './input-bound.ts';
import type { Operation } from './operation.ts';
import type { RateCard, ServiceTier } from './price.ts';

export function noTier(card: RateCard, tier: ServiceTier, operation: Operation): ApiError {
  const what = `No price is known for the model ${quote(card.model)} in the tier '${tier}'.`;
  return unknownPrice(what, tier === operation.serviceTier ? 'service_tier' : 'model');
}

/** Routers of several vendors write the vendor's name before the model's. */
const VENDOR = /^openai\//;

export function unknownModel(model: string | null): ApiError {
  const name = (model ?? '').replace(VENDOR, '');
  const hint = name === model ? '' : ` OpenAI's name for it is ${quote(name)}, without 'openai/'.`;
  return unknownPrice(`No price is known for the model ${quote(model)}.${hint}`, 'model');
}

export function unknownPrice(what: string, param: string): ApiError {
  return apiError('unknown_price', `${what} An administrator can add one.`, { param });
}

/** Returns the error of a call that is paid by the second, and has no bound in time. */
export function untimed(model: string): ApiError {
  const why = `The model ${quote(model)} is paid by the second, and nothing bounds how long this call may take.`;
  const way =
    'An administrator can set timeouts.call_ms of its upstream; a call in the background has no bound.';
  return apiError('unbounded_request', `${why} ${way}`, { param: 'model' });
}
