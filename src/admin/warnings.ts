/** Route: the warnings of budgets. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { usd } from '../domain/money.ts';
import { listWarnings, type WarningRow } from '../store/warnings.ts';
import { type subject, type Warning, Warnings, WarningsQuery } from './contract.ts';
import { tagSubjectOf } from './limits.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, pageOf, teamOf } from './page.ts';
import { route } from './route.ts';

export function warningsRoute(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'List warnings of budgets, newest first, and whether their webhooks arrived';
  route(
    app,
    { method: 'get', path: '/warnings', summary, query: WarningsQuery, response: Warnings },
    async ({ query, teams: teamIds }) =>
      pageOf(query, {
        list: (page) => listWarnings(database, { ...page, teamIds }),
        idOf: (row) => row.id,
        view: toWarning,
      }),
  );
}

function toWarning(row: WarningRow): z.input<typeof Warning> {
  const { counter } = row;
  const { meter } = counter;
  return {
    id: row.id,
    team_id: teamOf(row.teamId),
    limit_id: counter.source === 'limit' ? counter.sourceId : null,
    grant_id: counter.source === 'grant' ? counter.sourceId : null,
    name: row.name,
    subject: subjectOf(counter),
    meter,
    threshold: row.threshold,
    amount: formatAmount(meter, usd(row.amount)),
    settled: formatAmount(meter, usd(row.settled)),
    denied: row.denied,
    resets_at: instantOf(counter.endsAt),
    raised_at: instantOf(row.raisedAt),
    delivery: deliveryOf(row),
    attempts: row.attempts,
    problem: row.problem,
    delivered_at: instantOf(row.deliveredAt),
  };
}

function subjectOf({ subjectType, subjectId, teamId }: WarningRow['counter']): z.input<typeof subject> {
  if (subjectType === 'org') return { type: 'org' };
  if (subjectType === 'user') return { type: 'user', id: subjectId, team_id: teamId };
  if (subjectType === 'tag') return tagSubjectOf(subjectId, teamId);
  return { type: subjectType, id: subjectId };
}

function deliveryOf({
  deliveredAt,
  nextAttemptAt,
  attempts,
}: WarningRow): z.input<typeof Warning>['delivery'] {
  if (deliveredAt) return 'delivered';
  if (nextAttemptAt) return 'pending';
  return attempts === 0 ? 'none' : 'given_up';
}
