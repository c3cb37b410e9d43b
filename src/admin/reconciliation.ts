/** Routes: what the upstream billed of each day against the ledger, and posting a difference of it. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { csvLine } from '../domain/csv.ts';
import { apiError, isApiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import {
  listPostings,
  listReconciliations,
  type PostingRow,
  type ReconciliationRow,
} from '../store/reconciliation.ts';
import type { StoredDifference } from '../store/stored-json.ts';
import {
  type DayDifference,
  NewPosting,
  Posting,
  type ReconciledDay,
  Reconciliation,
  ReconciliationQuery,
} from './contract.ts';
import { csvResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { postDifference } from './post-difference.ts';
import { errorResponse, permittedQuery, ROOT, route, SECURITY } from './route.ts';

const PATH = '/reconciliation';

export function reconciliationRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog } = options;
  const text = { schema: { type: 'string' as const } };
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary:
      'What the upstream billed of UTC days against the ledger, each difference by its cause (JSON, CSV)',
    tags: ['reconciliation'],
    security: SECURITY,
    request: { query: ReconciliationQuery },
    responses: {
      200: {
        description: 'Done',
        content: { 'application/json': { schema: Reconciliation }, 'text/csv': text },
      },
    },
  });
  app.get(ROOT + PATH, async (context) => {
    const query = permittedQuery(context, PATH, ReconciliationQuery);
    if (isApiError(query)) return errorResponse(context, query);
    const { day, before = null, limit, format } = query.data;
    const rows = await listReconciliations(database, { day, before, limit });
    const postings = await listPostings(database, [...new Set(rows.map((row) => row.day))]);
    const days = rows.map((row) => toDay(row, postings));
    if (format === 'csv') {
      noteExport(accessLog, context.get('caller'), { export: 'reconciliation', ...query.data }, undefined);
      return csvResponse(
        context,
        `tollgate-reconciliation${day === undefined ? '' : `-${day}`}.csv`,
        csvOf(days),
      );
    }
    const { isOn, without } = options.reconciliation?.() ?? { isOn: false, without: [] };
    const next = rows.length === limit ? (rows.at(-1)?.day ?? null) : null;
    return context.json({ data: days, next, setup: { is_on: isOn, upstreams_without: without } });
  });
  route(
    app,
    {
      method: 'post',
      path: `${PATH}/postings`,
      summary: 'Post a difference of a final day to the ledger, once',
      body: NewPosting,
      response: Posting,
    },
    async ({ body, caller: { actor } }) => {
      await settleNow();
      const rows = await listReconciliations(database, { day: body.day, before: null, limit: 100 });
      const row = rows.find(({ upstream }) => upstream === (body.upstream ?? ''));
      const difference = row?.differences.find(({ id }) => id === body.difference);
      if (row === undefined || difference === undefined)
        return apiError('not_found', 'there is no such difference on that day', { param: 'difference' });
      const { reason, team_id: teamId = null } = body;
      const posting = await postDifference(database, { row, difference, teamId, reason, actor });
      if (isApiError(posting)) return posting;
      return {
        day: posting.day,
        upstream: posting.upstream || null,
        difference: posting.difference,
        ...toPosted(posting),
      };
    },
  );
}

function toPosted({ amountUsd, events, reason, actor, postedAt }: PostingRow) {
  return { amount_usd: moneyOf(amountUsd), events, reason, actor, posted_at: instantOf(postedAt) };
}

type DayView = z.input<typeof ReconciledDay>;

function toDay(row: ReconciliationRow, postings: readonly PostingRow[]): DayView {
  const own = new Map(
    postings
      .filter(({ day, upstream }) => day === row.day && upstream === row.upstream)
      .map((posting) => [posting.difference, posting]),
  );
  const isCorrection = ({ difference }: PostingRow) =>
    /^(?:disconnect|unknown_outcome|estimated_outcome)\//.test(difference);
  const posted = [...own.values()].filter((posting) => !isCorrection(posting));
  return {
    day: row.day,
    upstream: row.upstream || null,
    is_final: row.isFinal,
    computed_at: instantOf(row.computedAt),
    billed_usd: moneyOf(row.billedUsd),
    charged_usd: moneyOf(row.chargedUsd),
    corrected_usd: moneyOf(row.correctedUsd),
    posted_usd: formatUsd(posted.reduce((sum, { amountUsd }) => sum + usd(amountUsd), 0n)),
    unexplained_usd: moneyOf(row.unexplainedUsd),
    own_api_key_ids: row.ownKeys,
    differences: row.differences.map((difference) =>
      toDifference(difference, own.get(difference.id) ?? null),
    ),
  };
}

function toDifference(
  difference: StoredDifference,
  posting: PostingRow | null,
): z.input<typeof DayDifference> {
  const { id, kind, model, tier, quantity, calls } = difference;
  return {
    ...{ id, kind, with: difference.with, model, service_tier: tier, quantity, calls },
    line_item: difference.lineItem,
    api_key_id: difference.apiKeyId,
    amount_usd: moneyOf(difference.amount),
    corrected_usd: moneyOf(difference.corrected),
    posted: posting === null ? null : toPosted(posting),
  };
}

const COLUMNS = [
  'day',
  'upstream',
  'is_final',
  'kind',
  'with',
  'model',
  'service_tier',
  'line_item',
  'api_key_id',
  'quantity',
  'calls',
  'amount_usd',
  'corrected_usd',
  'posted_usd',
  'id',
] as const;

/** A line a difference; a day without any has none. */
async function* csvOf(days: readonly DayView[]) {
  yield csvLine(COLUMNS);
  for (const { day, upstream, is_final: isFinal, differences } of days) {
    for (const each of differences) {
      const about = [
        each.model,
        each.service_tier,
        each.line_item,
        each.api_key_id,
        each.quantity,
        each.calls,
      ];
      const amounts = [each.amount_usd, each.corrected_usd, each.posted?.amount_usd];
      yield csvLine([day, upstream, isFinal, each.kind, each.with.join(' '), ...about, ...amounts, each.id]);
    }
  }
}
