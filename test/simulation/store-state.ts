/** Everything that a store keeps of one team, in one comparable form. */

import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import type { Sql } from '../../src/store/database.ts';
import type { MemoryStore } from './memory-store.ts';

const QUARTER_MS = 900_000;

export interface StoreState {
  counters: string[];
  leases: string[];
  events: string[];
  rollups: string[];
}

export function stateInMemory(store: MemoryStore): StoreState {
  const rollups = new Map<string, { calls: number; cost: bigint }>();
  for (const event of store.events.values()) {
    const bucket = `${Math.floor(event.createdAtMs / QUARTER_MS) * QUARTER_MS} ${event.keyId}`;
    const sum = rollups.get(bucket) ?? { calls: 0, cost: 0n };
    rollups.set(bucket, {
      calls: sum.calls + 1,
      cost: sum.cost + (store.releases.costs.get(event.id) ?? event.claim.cost),
    });
  }
  return {
    counters: [...store.counters]
      .map(([id, each]) => line(id, [each.amount, each.settled, each.held, each.leased]))
      .sort(),
    leases: [...store.leases.values()]
      .map((each) =>
        line(`${each.instanceId} ${each.counterId}`, [each.granted, each.returned, each.settled, each.held]),
      )
      .sort(),
    events: [...store.events.values()].map((event) => line(event.id, [event.claim.cost])).sort(),
    rollups: [...rollups].map(([bucket, { calls, cost }]) => line(`${bucket} ${calls}`, [cost])).sort(),
  };
}

export async function stateInPostgres(sql: Sql, teamId: string): Promise<StoreState> {
  const rows = (query: PromiseLike<{ name: string; money: string[] }[]>) =>
    Promise.resolve(query).then((found) => found.map(({ name, money }) => line(name, money.map(usd))).sort());
  return {
    counters: await rows(sql`
      select id as name, array[amount, settled, held, leased]::text[] as money
      from counters where team_id = ${teamId}`),
    leases: await rows(sql`
      select instance_id || ' ' || counter_id as name, array[granted, returned, settled, held]::text[] as money
      from leases where team_id = ${teamId}`),
    events: await rows(sql`
      select id::text as name, array[cost_usd]::text[] as money from usage_events where team_id = ${teamId}`),
    rollups: await rows(sql`
      select (extract(epoch from bucket_start) * 1000)::int8 || ' ' || key_id || ' ' || sum(calls) as name,
        array[sum(cost_usd)]::text[] as money
      from usage_rollups where team_id = ${teamId} group by bucket_start, key_id`),
  };
}

function line(name: string, money: bigint[]): string {
  return [name, ...money.map(formatUsd)].join(' ');
}
