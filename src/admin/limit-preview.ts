/** Route: what a limit would have denied today, before it is made. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { rangeOf } from '../domain/counter.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { type Limit, ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { replay } from '../domain/replay.ts';
import type { Database } from '../store/database.ts';
import { findDepartment } from '../store/departments.ts';
import { findKeyRow } from '../store/keys.ts';
import { readHistory } from '../store/limit-preview.ts';
import { findTeam } from '../store/teams.ts';
import { LimitPreview, NewLimit } from './contract.ts';
import { isOfEach, limitOwner, limitProblem, subjectOfBody, toWindow } from './limits.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

export function limitPreviewRoute(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  route(
    app,
    {
      method: 'post',
      path: '/limits/preview',
      summary:
        'Show what a limit would count now, and which calls of today it would have denied; creates nothing',
      body: NewLimit,
      response: LimitPreview,
      ownerOfBody: (body) => limitOwner(database, body),
    },
    async ({ body }) => {
      const limit = await limitOfBody(database, body);
      if (isApiError(limit)) return limit;
      await settleNow();
      const { nowMs, before, calls } = await readHistory(database, limit);
      const { used, denied, firstDeniedAtMs } = replay(limit, calls, before, nowMs);
      const span = rangeOf(limit, nowMs);
      const isFlow = limit.window.type === 'rolling' || limit.meter === 'concurrency';
      const left = limit.amount > used ? limit.amount - used : 0n;
      return {
        window_starts_at: isFlow || span.endMs === null ? null : new Date(span.startMs).toISOString(),
        resets_at: isFlow || span.endMs === null ? null : new Date(span.endMs).toISOString(),
        used: formatAmount(limit.meter, used),
        amount: formatAmount(limit.meter, limit.amount),
        remaining: formatAmount(limit.meter, left),
        calls_today: calls.length,
        denied_calls_today: denied,
        first_denied_at: firstDeniedAtMs === null ? null : new Date(firstDeniedAtMs).toISOString(),
      };
    },
  );
}

async function limitOfBody(database: Database, body: z.output<typeof NewLimit>): Promise<Limit | ApiError> {
  const { subject, teamId } = subjectOfBody(body);
  const problem = limitProblem(body, isOfEach(subject));
  if (problem) return problem;
  const owner = await ownerOf(database, subject, teamId);
  if (isApiError(owner)) return owner;
  return {
    id: asId(''),
    teamId: owner,
    subject,
    models: body.models,
    meter: body.meter,
    amount: usd(body.amount),
    window: toWindow(body.window),
    enforcement: body.enforcement,
    maxHold: null,
    maxUnknown: null,
    onExhausted: null,
    name: body.name,
    resetAtMs: null,
    raises: [],
  };
}

/** Returns the team that the limit would belong to. */
async function ownerOf(
  database: Database,
  subject: Limit['subject'],
  teamId: TeamId | null,
): Promise<TeamId | ApiError> {
  const extra = { param: 'subject.id' };
  if (subject.type === 'key') {
    const key = await findKeyRow(database, subject.id);
    return key?.teamId ?? apiError('not_found', `there is no key ${subject.id}`, extra);
  }
  if (subject.type === 'department') {
    const department = await findDepartment(database, subject.id);
    return department
      ? ORGANIZATION_ID
      : apiError('not_found', `there is no department ${subject.id}`, extra);
  }
  const named = subject.type === 'team' ? subject.id : teamId;
  if (named === null) return ORGANIZATION_ID;
  const team = await findTeam(database, named);
  return team?.id ?? apiError('not_found', `there is no team ${named}`, extra);
}
