/** Routes: what could be cheaper, in dollars, and a report on models by one's own traffic. Only what the ledger's numbers show. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { type RateCards, textPriceOf } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { batchSaving, cacheSaving, cheaperModel, isCacheable, type ModelUse } from '../domain/savings.ts';
import { parseTag } from '../domain/tags.ts';
import { DAY_MS } from '../domain/window.ts';
import { type LabelSums, sumLabels } from '../store/labels.ts';
import { readSourcedPrices } from '../store/rate-cards.ts';
import {
  type CallSpeed,
  type CallSums,
  LOOKED_AT_MAX,
  readCallSums,
  readSpeeds,
  type SumsOfCalls,
} from '../store/savings.ts';
import { readTagUsage } from '../store/tag-usage.ts';
import { readUsage, type UsageRow } from '../store/usage.ts';
import { STAGES } from '../telemetry/measurement.ts';
import { ModelReport, ModelReportQuery, Savings, SavingsQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

type Saving = z.input<typeof Savings>['data'][number];
type SavedModel = Saving['models'][number];

export function savingRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, nowMs } = options;
  route(
    app,
    {
      method: 'get',
      path: '/savings',
      summary: 'Show what could be cheaper, in dollars, with what was compared',
      query: SavingsQuery,
      response: Savings,
    },
    async ({ query, teams: teamIds }) => {
      const range = rangeOf(query, nowMs());
      if (isApiError(range)) return range;
      await settleNow();
      const { cards, rows } = await readSourcedPrices(database.readSql);
      const names = [...new Set(rows.map(({ model }) => model))];
      const uses = (await readUsage(database, { ...ofModels(range), teamIds })).map(useOf);
      const calls = await readCallSums(database, { ...range, teamIds });
      const at = range.to.getTime();
      const asked = askedFor(range, query.team_id);
      return {
        from: range.from.toISOString(),
        to: range.to.toISOString(),
        looked_at: { calls: calls.reduce((sum, each) => sum + each.calls, 0), most: LOOKED_AT_MAX },
        data: [
          cachedInput(cards, uses, at, asked),
          cacheMisses(cards, calls, at, asked),
          REPEATS,
          cheaper(cards, names, uses, at, asked),
          batch(cards, calls, at, asked),
          writtenIn(calls, asked),
        ],
      };
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/models/report',
      summary: 'Compare models by one’s own traffic: price, speed, and what people said of their answers',
      query: ModelReportQuery,
      response: ModelReport,
    },
    async ({ query, teams: teamIds }) => {
      const range = rangeOf(query, nowMs());
      if (isApiError(range)) return range;
      await settleNow();
      const tag = query.tag === undefined ? undefined : parseTag(query.tag);
      const sums = { ...ofModels(range), teamIds };
      // Postgres does not read years before 0 as JavaScript writes them.
      const before = new Date(Math.max(0, 2 * range.from.getTime() - range.to.getTime()));
      const [uses, speeds, labels, earlier, { cards }] = await Promise.all([
        tag
          ? readTagUsage(database, { ...sums, groupBy: ['model'], tag, byTag: false })
          : readUsage(database, sums),
        readSpeeds(database, { ...range, teamIds, tag }, STAGES),
        sumLabels(database, { ...range, teamIds, tag }),
        sumLabels(database, { from: before, to: range.from, teamIds, tag }),
        readSourcedPrices(database.readSql),
      ]);
      return {
        from: range.from.toISOString(),
        to: range.to.toISOString(),
        tag: query.tag ?? null,
        looked_at: { calls: speeds.reduce((sum, each) => sum + each.calls, 0), most: LOOKED_AT_MAX },
        data: uses.map((row) => modelOf(row, { speeds, labels, earlier, cards, atMs: range.to.getTime() })),
      };
    },
  );
}

interface Range {
  from: Date;
  to: Date;
}

const RANGE_MS = 30 * DAY_MS;
const MODELS_MAX = 1_000;

function rangeOf(
  query: { from?: string | undefined; to?: string | undefined },
  nowMs: number,
): Range | ApiError {
  const to = query.to === undefined ? new Date(nowMs) : new Date(query.to);
  const from = query.from === undefined ? new Date(to.getTime() - RANGE_MS) : new Date(query.from);
  if (from >= to) return apiError('invalid_request', 'to must be after from', { param: 'to' });
  return { from, to };
}

/** Sums are by quarters of an hour: those that lie in the range in part belong to it. */
function ofModels({ from, to }: Range) {
  const quarterMs = 900_000;
  return {
    groupBy: ['model'] as const,
    interval: 'total' as const,
    timeZone: 'UTC',
    from: new Date(Math.floor(from.getTime() / quarterMs) * quarterMs),
    to: new Date(Math.ceil(to.getTime() / quarterMs) * quarterMs),
    keyId: undefined,
    limit: MODELS_MAX,
  };
}

/** Part of the query strings that show the same rows. */
function askedFor({ from, to }: Range, teamId: string | undefined): string {
  return `from=${from.toISOString()}&to=${to.toISOString()}${teamId === undefined ? '' : `&team_id=${teamId}`}`;
}

/** Those that failed cost nothing. */
function servedCalls({ calls, voidedCalls }: UsageRow): number {
  return calls - voidedCalls;
}

function useOf(row: UsageRow): ModelUse {
  return {
    model: row.model ?? '',
    calls: servedCalls(row),
    spent: usd(row.costUsd),
    usage: {
      input_tokens: row.inputTokens,
      cached_input_tokens: row.cachedInputTokens,
      cache_write_tokens: row.cacheWriteTokens,
      output_tokens: row.outputTokens,
      reasoning_tokens: row.reasoningTokens,
    },
  };
}

function useOfCalls(
  model: string,
  { calls, spentUsd, input, cached, written, output }: SumsOfCalls,
): ModelUse {
  const usage = {
    ...{ input_tokens: input, cached_input_tokens: cached },
    ...{ cache_write_tokens: written, output_tokens: output },
  };
  return { model, calls, spent: usd(spentUsd), usage };
}

/** Adds up models that save something, the most first. */
function savingOf(
  found: { model: string; instead?: string; calls: number; spent: bigint; saving: bigint | null }[],
  rest: Pick<Saving, 'kind' | 'bound' | 'basis' | 'query'> & { share?: number | null },
): Saving {
  const models = found.flatMap(({ saving, ...each }) =>
    saving !== null && saving > 0n ? [{ ...each, saving }] : [],
  );
  models.sort((a, b) => (a.saving < b.saving ? 1 : -1));
  const sum = (pick: (each: (typeof models)[number]) => bigint) =>
    models.reduce((total, each) => total + pick(each), 0n);
  return {
    ...rest,
    share: rest.share ?? null,
    saving_usd: formatUsd(sum(({ saving }) => saving)),
    spent_usd: formatUsd(sum(({ spent }) => spent)),
    calls: models.reduce((total, each) => total + each.calls, 0),
    models: models.map(
      ({ model, instead, calls, spent, saving }): SavedModel => ({
        model,
        instead: instead ?? null,
        calls,
        spent_usd: formatUsd(spent),
        saving_usd: formatUsd(saving),
      }),
    ),
  };
}

function cachedInput(cards: RateCards, uses: ModelUse[], atMs: number, asked: string): Saving {
  let input = 0;
  let cached = 0;
  const found = uses.map((use) => {
    if (isCacheable(cards, use.model, atMs)) {
      input += use.usage.input_tokens ?? 0;
      cached += use.usage.cached_input_tokens ?? 0;
    }
    return { ...use, saving: cacheSaving(cards, use, atMs) };
  });
  return savingOf(found, {
    kind: 'cached_input',
    bound: 'at_most',
    share: input === 0 ? null : cached / input,
    basis: 'Input that did not come from the cache, at the price of cached input: all of it cannot.',
    query: `GET /admin/v1/usage?group_by=model&interval=total&${asked}`,
  });
}

function cacheMisses(cards: RateCards, calls: CallSums[], atMs: number, asked: string): Saving {
  const found = calls.map(({ model, missed }) => {
    const use = useOfCalls(model, missed);
    return { ...use, saving: cacheSaving(cards, use, atMs) };
  });
  return savingOf(found, {
    kind: 'cache_misses',
    bound: 'at_most',
    basis:
      'Prompts of 1,024 tokens and more of which nothing came from the cache, because they begin differently or too rarely: put what stays the same first.',
    query: `GET /admin/v1/events?saving=cache_misses&${asked}`,
  });
}

const REPEATS: Saving = {
  kind: 'repeats',
  bound: 'unknown',
  saving_usd: null,
  spent_usd: null,
  calls: null,
  share: null,
  basis: 'Prompts are not kept, so the ledger cannot tell which calls asked the same again.',
  query: null,
  models: [],
};

function cheaper(cards: RateCards, names: string[], uses: ModelUse[], atMs: number, asked: string): Saving {
  const found = uses.flatMap((use) => {
    const best = cheaperModel(cards, names, use, atMs);
    return best === null ? [] : [{ ...use, instead: best.model, saving: best.saving }];
  });
  return savingOf(found, {
    kind: 'cheaper_model',
    bound: 'by_price',
    basis:
      'The same tokens at the standard prices of the cheapest model of the same family. Whether its answers would do, labels tell.',
    query: `GET /admin/v1/usage?group_by=model&interval=total&${asked}`,
  });
}

function batch(cards: RateCards, calls: CallSums[], atMs: number, asked: string): Saving {
  const found = calls.map(({ model, batchable }) => {
    const use = useOfCalls(model, batchable);
    return { ...use, saving: batchSaving(cards, use, atMs) };
  });
  return savingOf(found, {
    kind: 'batch',
    bound: 'at_most',
    basis:
      'Calls that were not streamed, at the prices of batches: those for which no one waited could have been lines of one.',
    query: `GET /admin/v1/events?saving=batch&${asked}`,
  });
}

function writtenIn(calls: CallSums[], asked: string): Saving {
  const found = calls.map(({ model, cut }) => {
    const use = useOfCalls(model, cut);
    return { ...use, saving: use.spent };
  });
  return savingOf(found, {
    kind: 'written_in_limits',
    bound: 'at_most',
    basis:
      'Responses that ended at the output limit that was written in: paid for, and perhaps of no use. Give the calls a limit, or the budget more.',
    query: `GET /admin/v1/events?saving=written_in_limits&${asked}`,
  });
}

interface Known {
  speeds: CallSpeed[];
  labels: LabelSums[];
  earlier: LabelSums[];
  cards: RateCards;
  atMs: number;
}

const MILLION = 1_000_000n;

function modelOf(row: UsageRow, known: Known): z.input<typeof ModelReport>['data'][number] {
  const model = row.model ?? '';
  const speed = known.speeds.find((each) => each.model === model);
  const labels = known.labels.find((each) => each.model === model);
  const earlier = known.earlier.find((each) => each.model === model);
  const lines = known.cards.find(model, known.atMs)?.tiers.default?.lines;
  const text = lines === undefined ? null : textPriceOf(lines, 'short');
  const perMillion = (rate: bigint | undefined) =>
    text === null || rate === undefined ? null : formatUsd((rate * MILLION) / BigInt(text.per));
  const cost = usd(row.costUsd);
  const served = servedCalls(row);
  return {
    model,
    calls: row.calls,
    cost_usd: formatUsd(cost),
    cost_per_call_usd: formatUsd(served === 0 ? 0n : cost / BigInt(served)),
    input_usd_per_million: perMillion(text?.input),
    output_usd_per_million: perMillion(text?.output),
    latency_median_ms: speed?.medianMs ?? null,
    latency_p95_ms: speed?.p95Ms ?? null,
    first_byte_ms: speed?.firstByteMs ?? null,
    output_tokens_per_second: speed?.tokensPerSecond ?? null,
    labelled_calls: labels?.labelled ?? 0,
    accepted: labels?.accepted ?? 0,
    edited: labels?.edited ?? 0,
    rejected: labels?.rejected ?? 0,
    cost_per_accepted_usd: labels?.accepted ? formatUsd(usd(labels.costUsd) / BigInt(labels.accepted)) : null,
    agreement: labels?.shared ? labels.agreed / labels.shared : null,
    accepted_share: shareOf(labels),
    accepted_share_before: shareOf(earlier),
  };
}

function shareOf(labels: LabelSums | undefined): number | null {
  return labels?.labelled ? labels.accepted / labels.labelled : null;
}
