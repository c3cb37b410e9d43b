/** Warnings as a list for people, newest first. */

import { and, desc, eq, getTableColumns } from 'drizzle-orm';
import type { TeamId } from '../domain/ids.ts';
import { type After, isAfter } from './changes.ts';
import type { Database } from './database.ts';
import { counters, warnings } from './schema.ts';

export type WarningRow = typeof warnings.$inferSelect & {
  createdAt: Date;
  counter: typeof counters.$inferSelect;
};

export function listWarnings(
  database: Database,
  page: { after: After | null; limit: number; teamId: TeamId | undefined },
): Promise<WarningRow[]> {
  return database.db
    .select({
      ...getTableColumns(warnings),
      createdAt: warnings.raisedAt,
      counter: getTableColumns(counters),
    })
    .from(warnings)
    .innerJoin(counters, and(eq(counters.teamId, warnings.teamId), eq(counters.id, warnings.counterId)))
    .where(
      and(
        isAfter({ createdAt: warnings.raisedAt, id: warnings.id }, page.after, 'desc'),
        page.teamId === undefined ? undefined : eq(warnings.teamId, page.teamId),
      ),
    )
    .orderBy(desc(warnings.raisedAt), desc(warnings.id))
    .limit(page.limit);
}
