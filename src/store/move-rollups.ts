/** What a correction moves in the rollups: sums follow what is charged, since a counter made later starts from them. */
import { and, eq, type SQL, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS, QUARTER_HOUR_MS } from '../domain/window.ts';
import type { Transaction } from './database.ts';
import {
  usageDays,
  usageDepartmentDays,
  usageDepartments,
  type usageEvents,
  usageRollups,
  usageTagDays,
  usageTags,
  usageValueDays,
} from './schema.ts';

type EventRow = typeof usageEvents.$inferSelect;
type Table =
  | typeof usageRollups
  | typeof usageDays
  | typeof usageDepartments
  | typeof usageDepartmentDays
  | typeof usageTags
  | typeof usageTagDays
  | typeof usageValueDays;

/** Moves the sums of events that are corrected to a cost; in the order of a flush. */
export async function moveRollups(
  tx: Transaction,
  events: readonly EventRow[],
  cost: PicoUsd,
): Promise<void> {
  for (const [table, start, intervalMs] of [
    [usageRollups, usageRollups.bucketStart, QUARTER_HOUR_MS],
    [usageDays, usageDays.day, DAY_MS],
    [usageDepartments, usageDepartments.bucketStart, QUARTER_HOUR_MS],
    [usageDepartmentDays, usageDepartmentDays.day, DAY_MS],
  ] as const) {
    const counted = 'departments' in table ? events.filter(({ departments }) => departments) : events;
    const rowOf = (event: EventRow) =>
      [startOf(event, intervalMs), event.departments, event.keyId, event.model, event.operation].join('\n');
    const groups = [...Map.groupBy(counted, rowOf)].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, group] of groups) {
      const event = defined(group[0], 'an event of the group');
      await moveRow(
        tx,
        table,
        group,
        cost,
        and(
          eq(table.teamId, event.teamId),
          eq(start, new Date(startOf(event, intervalMs))),
          'departments' in table && event.departments ? eq(table.departments, event.departments) : undefined,
          eq(table.keyId, event.keyId),
          eq(table.model, event.model),
          eq(table.operation, event.operation),
        ),
      );
    }
  }
  await moveTags(tx, events, cost);
}

async function moveTags(tx: Transaction, events: readonly EventRow[], cost: PicoUsd): Promise<void> {
  const tagged = events.flatMap((event) =>
    Object.entries(event.tags ?? {}).map(([name, value]) => ({ name, value, event })),
  );
  for (const [table, start, intervalMs] of [
    [usageTags, usageTags.bucketStart, QUARTER_HOUR_MS],
    [usageTagDays, usageTagDays.day, DAY_MS],
    [usageValueDays, usageValueDays.day, DAY_MS],
  ] as const) {
    const rowOf = ({ name, value, event }: (typeof tagged)[number]) => {
      const at = startOf(event, intervalMs);
      const model = 'model' in table ? event.model : '';
      return [name, ...(table === usageTags ? [value, at] : [at, value]), model].join('\n');
    };
    const groups = [...Map.groupBy(tagged, rowOf)].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, group] of groups) {
      const { name, value, event } = defined(group[0], 'an event of the group');
      await moveRow(
        tx,
        table,
        group.map((each) => each.event),
        cost,
        and(
          eq(table.teamId, event.teamId),
          eq(table.name, name),
          eq(table.value, value),
          eq(start, new Date(startOf(event, intervalMs))),
          'model' in table ? eq(table.model, event.model) : undefined,
        ),
      );
    }
  }
}

function startOf({ createdAt }: EventRow, intervalMs: number): number {
  return createdAt.getTime() - (createdAt.getTime() % intervalMs);
}

async function moveRow(
  tx: Transaction,
  table: Table,
  events: readonly EventRow[],
  cost: PicoUsd,
  where: SQL | undefined,
): Promise<void> {
  const unknown = events.filter(({ outcome }) => outcome === 'unknown');
  const delta = BigInt(events.length) * cost - sumOf(events);
  await tx
    .update(table)
    .set({
      costUsd: sql`${table.costUsd} + ${formatUsd(delta)}::numeric`,
      unknownUsd: sql`${table.unknownUsd} - ${formatUsd(sumOf(unknown))}::numeric`,
      unknownCalls: sql`${table.unknownCalls} - ${unknown.length}`,
    })
    .where(where);
}

export function sumOf(events: readonly EventRow[]): PicoUsd {
  return events.reduce((sum, { costUsd }) => sum + usd(costUsd), 0n);
}
