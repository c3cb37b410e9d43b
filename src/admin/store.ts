/** Routes: the history of the store, and lending on without the instances that are waited for. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { Database } from '../store/database.ts';
import { acceptLoss, readHistoryState } from '../store/history.ts';
import { AcceptLoss, StoreState } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { route } from './route.ts';

export function storeRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  route(
    app,
    {
      method: 'get',
      path: '/store',
      summary:
        'Whether the database has forgotten something, and what is waited for until money is lent again',
      response: StoreState,
    },
    () => stateOf(database),
  );
  route(
    app,
    {
      method: 'post',
      path: '/store/accept',
      summary: 'Lend again without the instances that are waited for',
      body: AcceptLoss,
      response: StoreState,
    },
    async ({ body, caller }) => {
      const accepted = await acceptLoss(database, { reason: body.reason, actor: caller.actor });
      return isApiError(accepted) ? accepted : stateOf(database);
    },
  );
}

async function stateOf(database: Database): Promise<z.input<typeof StoreState>> {
  const { history, awaited, gaps, lostChanges } = await readHistoryState(database);
  return {
    is_lending: history.lendingSince !== null,
    epoch: history.epoch,
    reason: history.reason,
    began_at: instantOf(history.beganAt),
    lending_since: instantOf(history.lendingSince),
    timeline: history.timeline,
    accepted_by: history.acceptedBy,
    accepted_reason: history.acceptedReason,
    awaited: awaited.map((each) => ({
      instance_id: each.id,
      started_at: instantOf(each.startedAt),
      heartbeat_at: instantOf(each.heartbeatAt),
      events: each.flushed,
      known_events: Math.max(each.flushed, each.knownFlushed),
      leased_usd: formatUsd(each.leased),
    })),
    gaps: gaps.map(({ instanceId, firstNumber, lastNumber, notedAt }) => ({
      instance_id: instanceId,
      first: firstNumber,
      last: lastNumber,
      noted_at: instantOf(notedAt),
    })),
    lost_changes: lostChanges,
  };
}
