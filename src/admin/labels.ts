/** Routes: labels, by which people say whether an answer was right, and what an accepted answer costs. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId } from '../domain/ids.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { findEvent } from '../store/events.ts';
import { type LabelRow, type LabelSums, listLabels, setLabel, sumLabels } from '../store/labels.ts';
import { Label, LabelReport, LabelReportQuery, Labels, LabelsQuery, NewLabel } from './contract.ts';
import { keepEdit } from './labels-export.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf, moneyOf, pageOf } from './page.ts';
import { route } from './route.ts';

type Called = NonNullable<Awaited<ReturnType<typeof findEvent>>>;

/** Sets a label, and keeps the answer as it was changed where one is given. */
export async function giveLabel(
  { database, sealer = null }: Pick<AdminOptions, 'database' | 'sealer'>,
  event: Called,
  labeller: string,
  { label, reason, edited_text: edited }: z.output<typeof NewLabel>,
): Promise<z.input<typeof Label> | ApiError> {
  if (event.outcome === 'voided') return NO_ANSWER;
  if (edited !== undefined && (sealer === null || !(await keepEdit(database, sealer, event, edited))))
    return NOT_KEPT;
  return toLabel(await setLabel(database, { event, labeller, label, reason }));
}

/** What failed cost nothing: it would make an accepted answer look cheaper than it is. */
const NO_ANSWER = apiError('conflict', 'this call failed, so there is no answer to label', {
  param: 'call_id',
});

const NOT_KEPT = apiError(
  'conflict',
  'what this call said is not kept, so its edited answer is not either: leave edited_text out',
  { param: 'edited_text' },
);

const NO_SUCH_CALL = apiError(
  'not_found',
  'call_id: no call with this id has ended. The id is in x-tollgate-request-id',
  { param: 'call_id' },
);

export function labelRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow } = options;
  const summary = 'Say whether the answer of a call was right; your label before is replaced';
  route(
    app,
    {
      method: 'post',
      path: '/labels',
      summary,
      body: NewLabel,
      response: Label,
      status: 201,
      async ownerOfBody(body) {
        await settleNow();
        return (await findEvent(database.db, asId(body.call_id)))?.teamId ?? null;
      },
    },
    async ({ body, caller }) => {
      await settleNow();
      const event = await findEvent(database.db, asId(body.call_id));
      if (event === null) return NO_SUCH_CALL;
      return giveLabel(options, event, caller.actor, body);
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/labels',
      summary: 'List labels by the time when they were given',
      query: LabelsQuery,
      response: Labels,
    },
    async ({ query, teams: teamIds }) =>
      pageOf(query, {
        list: (page) =>
          listLabels(database, {
            ...page,
            teamIds,
            eventId: query.call_id === undefined ? undefined : asId(query.call_id),
            label: query.label,
            order: query.order,
          }),
        idOf: (row) => row.id,
        view: toLabel,
      }),
  );
  route(
    app,
    {
      method: 'get',
      path: '/labels/report',
      summary:
        'Sum labels by model: what was accepted, edited and rejected, and what an accepted answer costs',
      query: LabelReportQuery,
      response: LabelReport,
    },
    async ({ query, teams: teamIds }) => {
      await settleNow();
      const range = { from: dateOf(query.from ?? null), to: dateOf(query.to ?? null) };
      const rows = await sumLabels(database, { ...range, teamIds });
      return { from: instantOf(range.from), to: instantOf(range.to), data: rows.map(toSums) };
    },
  );
}

/** Returns a label as the API shows it. */
function toLabel(row: LabelRow): z.input<typeof Label> {
  return {
    id: row.id,
    team_id: row.teamId,
    call_id: row.eventId,
    label: row.label,
    reason: row.reason,
    labeller: row.labeller,
    created_at: instantOf(row.createdAt),
  };
}

function toSums(row: LabelSums): z.input<typeof LabelReport>['data'][number] {
  const { model, labelled, accepted, edited, rejected, shared, agreed } = row;
  return {
    model,
    labelled_calls: labelled,
    accepted,
    edited,
    rejected,
    cost_usd: moneyOf(row.costUsd),
    cost_per_accepted_usd: accepted === 0 ? null : formatUsd(usd(row.costUsd) / BigInt(accepted)),
    agreement: shared === 0 ? null : agreed / shared,
  };
}
