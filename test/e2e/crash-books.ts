/** The books of a data folder, read from its database itself, and held against the upstream's invoice. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { closeClient, openClient } from '../../src/store/database.ts';

interface EventRow {
  id: string;
  team_id: string;
  outcome: 'settled' | 'voided' | 'unknown';
  reason: string | null;
  cost_usd: string;
  hold_usd: string;
}

export interface Event {
  id: string;
  teamId: string;
  outcome: EventRow['outcome'];
  reason: string | null;
  cost: PicoUsd;
  hold: PicoUsd;
}

export interface Books {
  events: Event[];
  counters: {
    id: string;
    teamId: string;
    amount: PicoUsd;
    settled: PicoUsd;
    held: PicoUsd;
    leased: PicoUsd;
  }[];
  /** What instances still have of each counter, by its id. */
  lent: Map<string, PicoUsd>;
  /** Number of instances by status. */
  instances: Record<string, number>;
}

/** Reads the books over the socket of the data folder's database, or over a URL. */
export async function readBooks(where: { dataDir: string } | { url: string }): Promise<Books> {
  const socket = (dataDir: string) => join(dataDir, 'postgres/.s.PGSQL.5432');
  const sql = openClient(
    'url' in where ? where.url : { path: socket(where.dataDir), user: 'postgres', database: 'tollgate' },
    1,
  );
  try {
    return await sql.begin({ mode: 'isolation level repeatable read' }, async (tx) => {
      const events = await tx<EventRow[]>`
        select id, team_id, outcome, reason, cost_usd::text, hold_usd::text from usage_events order by id`;
      const counters = await tx<
        Record<'id' | 'team_id' | 'amount' | 'settled' | 'held' | 'leased', string>[]
      >`
        select id, team_id, amount::text, settled::text, held::text, leased::text from counters order by id`;
      const leases = await tx<{ id: string; lent: string }[]>`
        select counter_id as id, sum(granted - returned - settled)::text as lent from leases group by 1`;
      const instances = await tx<{ status: string; count: number }[]>`
        select status, count(*)::int4 as count from instances group by 1`;
      return {
        events: events.map((row) => ({
          id: row.id,
          teamId: row.team_id,
          outcome: row.outcome,
          reason: row.reason,
          cost: usd(row.cost_usd),
          hold: usd(row.hold_usd),
        })),
        counters: counters.map((row) => ({
          id: row.id,
          teamId: row.team_id,
          amount: usd(row.amount),
          settled: usd(row.settled),
          held: usd(row.held),
          leased: usd(row.leased),
        })),
        lent: new Map(leases.map((row) => [row.id, usd(row.lent)])),
        instances: Object.fromEntries(instances.map((row) => [row.status, row.count])),
      };
    });
  } finally {
    await closeClient(sql);
  }
}

/**
 * Holds the books against the invoice: every billed call has exactly one event, none of which charges less than the
 * bill, the settled ones exactly it; no counter and no team's bill is above its amount.
 */
export function expectTrueBooks({ events, counters, lent }: Books, simulator: Simulator): void {
  const byId = new Map(events.map((event) => [event.id, event]));
  expect(byId.size, 'events written twice').toBe(events.length);

  const billed = new Map<string, PicoUsd>();
  for (const line of simulator.invoice().lines) {
    const event = byId.get(line.client_request_id ?? '');
    const bill = BigInt(line.cost_pico_usd);
    if (!event) throw new Error(`line ${line.line} of the invoice has no event`);
    if (event.outcome === 'unknown') {
      expect(event.cost, 'an unknown outcome is charged at its hold').toBe(event.hold);
      expect(event.hold, 'a hold is never below the bill').toBeGreaterThanOrEqual(bill);
    } else expect(event.cost, 'a known outcome is charged what was billed').toBe(bill);
    billed.set(event.teamId, (billed.get(event.teamId) ?? 0n) + bill);
  }

  const charged = new Map<string, PicoUsd>();
  for (const { teamId, cost } of events) charged.set(teamId, (charged.get(teamId) ?? 0n) + cost);
  for (const { id, teamId, amount, settled, held, leased } of counters) {
    expect(settled + held + leased, `counter ${id} is within its amount`).toBeLessThanOrEqual(amount);
    expect(leased, `what counter ${id} says is lent out`).toBe(lent.get(id) ?? 0n);
    expect(billed.get(teamId) ?? 0n, `the bill of counter ${id}`).toBeLessThanOrEqual(amount);
    expect(settled, `counter ${id} counts what the events charge`).toBe(charged.get(teamId) ?? 0n);
  }
}
