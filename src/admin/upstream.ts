/** Routes: the upstream as this instance knows it, and several. Invariant: a caller sees no totals, and no names, of others' teams. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import type { TeamId } from '../domain/ids.ts';
import { formatUsd } from '../domain/quantities.ts';
import { readNames } from '../store/names.ts';
import type { UpstreamReading } from '../upstreams/health.ts';
import { openaiProfile } from '../upstreams/profile.ts';
import type { LimitTrust } from '../upstreams/trust.ts';
import { UpstreamList, UpstreamListQuery, UpstreamState } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { route } from './route.ts';

type Row = z.input<typeof UpstreamList>['data'][number];

export function upstreamRoute(app: OpenAPIHono, { upstream }: AdminOptions): void {
  const { profile, trust } = upstream ?? { profile: openaiProfile(null), trust: null };
  const summary = 'Show the profile of the upstream, and which output limits it keeps';
  route(app, { method: 'get', path: '/upstream', summary, response: UpstreamState }, async () => ({
    profile: profile.name,
    on_client_gone: profile.onClientGone,
    max_output_tokens: profile.maxOutputTokens,
    has_tokenizer: (profile.text?.countTokens ?? null) !== null,
    limits: limitsOf(trust),
  }));
}

export function upstreamListRoute(app: OpenAPIHono, { database, upstreams }: AdminOptions): void {
  route(
    app,
    {
      method: 'get',
      path: '/upstreams',
      summary: 'List the upstreams of the configuration file, and how they do',
      query: UpstreamListQuery,
      response: UpstreamList,
    },
    async ({ teams }) => {
      const named = teams && [...teams, ...(await readNames(database, 'teams', teams)).values()];
      return {
        data: (upstreams?.() ?? []).flatMap((reading) => {
          const serves = named
            ? (reading.teams?.filter((team) => named.includes(team)) ?? null)
            : reading.teams;
          return serves?.length === 0 ? [] : [rowOf(reading, serves, teams)];
        }),
      };
    },
  );
}

function rowOf(
  reading: UpstreamReading,
  serves: readonly string[] | null,
  teamIds: readonly TeamId[] | undefined,
): Row {
  const { health } = reading;
  const { calls, movedOn, cost } = health.sumOf(teamIds);
  return {
    name: reading.name,
    kind: reading.kind,
    base_url: reading.baseUrl,
    models: reading.models === null ? null : [...reading.models],
    model_names: { ...reading.modelNames },
    teams: serves === null ? null : [...serves],
    weight: reading.weight,
    price_percent: reading.pricePercent,
    state: health.state,
    breaker_open: reading.isBreakerOpen,
    teams_with_open_breaker: reading.openTeams,
    first_byte_ms: health.firstByteMs === null ? null : Math.round(health.firstByteMs),
    waiting_calls: health.waitingCalls,
    connections: reading.connectionsUsed,
    connections_max: reading.connectionsMax,
    calls,
    moved_calls: movedOn,
    cost_usd: formatUsd(cost),
    limits: limitsOf(reading.trust),
  };
}

function limitsOf(trust: LimitTrust | null) {
  return (trust?.list() ?? []).map(({ operation, model, state, reason, probedAtMs }) => ({
    operation,
    model,
    state,
    reason,
    probed_at: probedAtMs === null ? null : instantOf(new Date(probedAtMs)),
  }));
}
