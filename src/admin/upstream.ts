/** Routes: the upstream as this instance knows it, and several. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { formatUsd } from '../domain/quantities.ts';
import { openaiProfile } from '../upstreams/profile.ts';
import type { LimitTrust } from '../upstreams/trust.ts';
import { UpstreamList, UpstreamState } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { route } from './route.ts';

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

export function upstreamListRoute(app: OpenAPIHono, { upstreams }: AdminOptions): void {
  const summary = 'List the upstreams of the configuration file, and how they do';
  route(app, { method: 'get', path: '/upstreams', summary, response: UpstreamList }, async () => ({
    data: (upstreams?.() ?? []).map((reading) => ({
      name: reading.name,
      kind: reading.kind,
      base_url: reading.baseUrl,
      models: reading.models === null ? null : [...reading.models],
      model_names: { ...reading.modelNames },
      teams: reading.teams === null ? null : [...reading.teams],
      weight: reading.weight,
      price_percent: reading.pricePercent,
      state: reading.health.state,
      breaker_open: reading.isBreakerOpen,
      teams_with_open_breaker: reading.openTeams,
      first_byte_ms: reading.health.firstByteMs === null ? null : Math.round(reading.health.firstByteMs),
      waiting_calls: reading.health.waitingCalls,
      connections: reading.connectionsUsed,
      connections_max: reading.connectionsMax,
      calls: { ...reading.health.calls },
      moved_calls: reading.health.movedOn,
      cost_usd: formatUsd(reading.health.cost),
      limits: limitsOf(reading.trust),
    })),
  }));
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
