/** Route: the upstream as this instance knows it. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { openaiProfile } from '../upstreams/profile.ts';
import { UpstreamState } from './contract.ts';
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
    limits: (trust?.list() ?? []).map(({ operation, model, state, reason, probedAtMs }) => ({
      operation,
      model,
      state,
      reason,
      probed_at: probedAtMs === null ? null : instantOf(new Date(probedAtMs)),
    })),
  }));
}
