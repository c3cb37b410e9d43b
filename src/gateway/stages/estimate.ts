/** Estimate: from what is asked for to the most that it can cost. */
import type { Account, CallKind } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import { type Estimate, estimate as estimateOf } from '../../domain/estimate.ts';
import type { RateCard } from '../../domain/price.ts';
import type { ParsedRequest } from '../../openai/request.ts';
import { type Call, type Stopped, stopped } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Parsed } from './parse.ts';

export interface Estimated {
  readonly kind: 'estimated';
  readonly call: Call;
  readonly account: Account;
  readonly generation: number;
  readonly request: ParsedRequest;
  readonly callKind: CallKind;
  /** Null: the operation has no price, because it costs nothing. */
  readonly card: RateCard | null;
  readonly estimate: Estimate;
}

export function estimate(deps: GatewayDeps, parsed: Parsed): Estimated | Stopped {
  const { call, account, generation, request, callKind } = parsed;
  const { operation } = request;
  const card = operation.model === null ? null : deps.catalog.rates.find(operation.model, deps.clock.nowMs());
  const estimated = deps.upstream === null ? NO_UPSTREAM : estimateOf(operation, card, { strict: true });
  if (estimated instanceof ApiError) {
    return stopped(call, estimated, request.descriptor.name, account, callKind.endUser);
  }
  call.ended('estimate');
  return { kind: 'estimated', call, account, generation, request, callKind, card, estimate: estimated };
}

const NO_UPSTREAM = apiError(
  'upstream_not_configured',
  'This gateway has no upstream: its administrator must set OPENAI_API_KEY.',
);
