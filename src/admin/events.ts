/** Route: the list of calls. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatUsd, usd } from '../domain/money.ts';
import { type EventRow, listEvents } from '../store/events.ts';
import { type Event, Events, EventsQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf, pageOf } from './page.ts';
import { serve } from './route.ts';

export function serveEvents(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  serve(
    app,
    {
      method: 'get',
      path: '/events',
      summary: 'List calls by the moment of their admission, oldest first',
      query: EventsQuery,
      answer: Events,
      team: 'query',
    },
    async ({ query }) => {
      await settleNow();
      return pageOf(
        query,
        (event) => event.id,
        (page) => listEvents(database, { ...page, teamId: query.team_id }),
        toEvent,
      );
    },
  );
}

export function toEvent(event: EventRow): z.input<typeof Event> {
  const { deltaUsd } = event;
  return {
    id: event.id,
    team_id: event.teamId,
    key_id: event.keyId,
    operation: event.operation,
    model: event.model,
    response_model: event.responseModel,
    service_tier: event.serviceTier,
    stream: event.stream,
    outcome: event.outcome as 'settled' | 'voided' | 'unknown',
    provenance: event.provenance as 'reported' | 'estimated' | 'unknown',
    reason: event.reason,
    upstream_status: event.upstreamStatus,
    upstream_request_id: event.upstreamRequestId,
    input_tokens: event.inputTokens,
    cached_input_tokens: event.cachedInputTokens,
    cache_write_tokens: event.cacheWriteTokens,
    output_tokens: event.outputTokens,
    reasoning_tokens: event.reasoningTokens,
    output_limit: event.outputLimit,
    price_id: event.priceId,
    cost_usd: moneyOf(event.costUsd),
    hold_usd: moneyOf(event.holdUsd),
    ...(deltaUsd === null ? {} : { adjusted_usd: formatUsd(usd(event.costUsd) + usd(deltaUsd)) }),
    stage_us: event.stageUs as Record<string, number>,
    created_at: instantOf(event.createdAt),
  };
}
