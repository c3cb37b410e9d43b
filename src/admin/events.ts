/** Routes: the list of calls, and one of them. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { sourceIdOf } from '../domain/counter.ts';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { CHECKABLE } from '../openai/operations/table.ts';
import type { Database } from '../store/database.ts';
import {
  type EventPage,
  type EventRow,
  findEvent,
  grantsAmong,
  listAdjustments,
  listEvents,
} from '../store/events.ts';
import { readNames } from '../store/names.ts';
import { type Event, Events, type EventsCsvQuery, EventsQuery, WholeEvent } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, formatCursor, instantOf, moneyOf, parseCursor } from './page.ts';
import { route } from './route.ts';
import type { Caller } from './scope.ts';

export function eventRoutes(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const find = async (id: string) => {
    await settleNow();
    return findEvent(database.db, asId(id));
  };
  route(
    app,
    {
      method: 'get',
      path: '/events',
      summary: 'List calls by the time of their admission',
      query: EventsQuery,
      response: Events,
    },
    async ({ query, teams, caller }) => {
      await settleNow();
      return pageOfEvents(database, query, selectionOf(query, teams, caller));
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/events/{id}',
      summary: 'Show one call, with its charge to each budget and its corrections',
      response: WholeEvent,
      ownerOfItem: async (id) => (await find(id))?.teamId ?? null,
    },
    async ({ id }) => {
      const event = await find(id);
      return event && toWholeEvent(database, event);
    },
  );
}

/** Returns a page of events with the cursor of the next; an error for a cursor that is none. */
export async function pageOfEvents(
  database: Database,
  { after: cursor, limit }: { after?: string | undefined; limit: number },
  selection: Omit<EventPage, 'after' | 'limit'>,
): Promise<z.input<typeof Events> | ApiError> {
  const after = parseCursor(cursor);
  if (isApiError(after)) return after;
  const { rows, searchedTo } = await listEvents(database, { ...selection, after, limit: limit + 1 });
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? (shown.at(-1) ?? null) : searchedTo;
  return { data: await toEvents(database, shown), next: last && formatCursor(last.createdAt, last.id) };
}

/** Returns which events a query selects, apart from the page. */
export function selectionOf(
  query: z.output<typeof EventsCsvQuery>,
  teamIds: readonly TeamId[] | undefined,
  { actor }: Caller,
): Omit<EventPage, 'after' | 'limit'> {
  return {
    teamIds,
    order: query.order,
    from: dateOf(query.from ?? null),
    to: dateOf(query.to ?? null),
    filter: {
      keyId: query.key_id,
      model: query.model,
      operation: query.operation,
      upstream: query.upstream,
      outcome: query.outcome,
      provenance: query.provenance,
      endUser: query.end_user,
      tag: query.tag,
      labelled: labelledOf(query.labelled, actor),
      saving: query.saving,
    },
  };
}

function labelledOf(
  wanted: z.output<typeof EventsCsvQuery>['labelled'],
  actor: string,
): EventPage['filter']['labelled'] {
  if (wanted === 'others') return { notBy: actor };
  return wanted === 'wanted' ? { notOf: CHECKABLE } : wanted;
}

/** Returns events as the API shows them, with the names of their teams and keys. */
export async function toEvents(database: Database, events: EventRow[]): Promise<EventView[]> {
  const names = await namesOf(database, events);
  return events.map((event) => toEvent(event, names));
}

async function namesOf(database: Database, events: EventRow[]): Promise<Names> {
  const teams = await readNames(database, 'teams', new Set(events.map((event) => event.teamId)));
  const keys = await readNames(database, 'keys', new Set(events.map((event) => event.keyId)));
  return { teams, keys };
}

type EventView = z.input<typeof Event>;
type Names = Record<'teams' | 'keys', Map<string, string>>;

function toEvent(event: EventRow, { teams, keys }: Names): EventView {
  const { deltaUsd } = event;
  return {
    id: event.id,
    team_id: event.teamId,
    team_name: teams.get(event.teamId) ?? '',
    key_id: event.keyId,
    key_name: keys.get(event.keyId) ?? '',
    operation: event.operation,
    model: event.model,
    response_model: event.responseModel,
    service_tier: event.serviceTier,
    stream: event.stream,
    end_user: event.endUser,
    tags: event.tags ?? {},
    on_exhausted: event.onExhausted,
    outcome: event.outcome,
    provenance: event.provenance,
    reason: event.reason,
    upstream: event.upstream,
    upstream_status: event.upstreamStatus,
    upstream_request_id: event.upstreamRequestId,
    input_tokens: event.inputTokens,
    cached_input_tokens: event.cachedInputTokens,
    cache_write_tokens: event.cacheWriteTokens,
    output_tokens: event.outputTokens,
    reasoning_tokens: event.reasoningTokens,
    quantities: event.quantities ?? {},
    output_limit: event.outputLimit,
    price_id: event.priceId,
    cost_usd: moneyOf(event.costUsd),
    hold_usd: moneyOf(event.holdUsd),
    ...(deltaUsd === null ? {} : { adjusted_usd: formatUsd(usd(event.costUsd) + usd(deltaUsd)) }),
    stage_us: event.stageUs,
    created_at: instantOf(event.createdAt),
  };
}

async function toWholeEvent(database: Database, event: EventRow): Promise<z.input<typeof WholeEvent>> {
  const { allocations } = event;
  const sources = allocations.map((part) => sourceIdOf(part.counter));
  const grants = await grantsAmong(database, sources);
  const names = new Map([
    ...(await readNames(database, 'limits', sources)),
    ...(await readNames(database, 'grants', sources)),
  ]);
  const corrections = await listAdjustments(database, event);
  return {
    ...toEvent(event, await namesOf(database, [event])),
    allocations: allocations.map(({ counter, held, settled }) => {
      const source = sourceIdOf(counter);
      const name = names.get(source) ?? null;
      const amounts = { name, held: moneyOf(held), settled: moneyOf(settled) };
      return grants.has(source)
        ? { counter_id: counter, source: 'grant', grant_id: source, ...amounts }
        : { counter_id: counter, source: 'limit', limit_id: source, ...amounts };
    }),
    adjustments: corrections.map((row) => ({
      id: row.id,
      delta_usd: moneyOf(row.deltaUsd),
      reason: row.reason,
      actor: row.actor,
      created_at: instantOf(row.createdAt),
    })),
  };
}
