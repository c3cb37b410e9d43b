/** Preview: the calls of today that a limit which does not exist yet would count, and what its window saw before. */
import { and, asc, eq, gte, type SQL, sql } from 'drizzle-orm';
import { limitCounter, NO_SUBJECTS, partOf, rangeOf } from '../domain/counter.ts';
import { countsApart, type Limit, ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { includesModel } from '../domain/price.ts';
import type { ReplayedCall } from '../domain/replay.ts';
import { tagTexts } from '../domain/tags.ts';
import { windowRange } from '../domain/window.ts';
import { snapshot } from './balance.ts';
import { type Database, runOn, type Transaction } from './database.ts';
import { usageEvents } from './schema.ts';
import { usedInWindow } from './window-usage.ts';

/** How many calls are read at most: the first of the day. */
const PREVIEWED_MAX = 50_000;

export interface LimitHistory {
  nowMs: number;
  /** What the limit's window had counted when the day began. */
  before: bigint;
  /** Those of today, oldest first. */
  calls: ReplayedCall[];
}

/** The day is that of the limit's calendar, or in UTC. A rolling window is taken to begin with it. */
export function readHistory(database: Database, limit: Limit): Promise<LimitHistory> {
  return snapshot(database, async (tx, now) => {
    const nowMs = now.getTime();
    const timeZone = limit.window.type === 'calendar' ? limit.window.timeZone : 'UTC';
    const day = windowRange({ type: 'calendar', unit: 'day', timeZone }, nowMs);
    // A window that began later today has seen nothing before.
    const beganMs = limit.window.type === 'calendar' ? rangeOf(limit, nowMs).startMs : 0;
    const startMs = Math.max(day.startMs, beganMs);
    return {
      nowMs,
      before: await usedUntil(tx, limit, startMs, nowMs),
      calls: await readCalls(tx, limit, startMs),
    };
  });
}

/** Nothing where the window begins with the day, and for each end user: only their calls of today are looked at. */
async function usedUntil(tx: Transaction, limit: Limit, dayMs: number, nowMs: number): Promise<bigint> {
  const { window, meter, subject } = limit;
  if (window.type === 'rolling' || meter === 'concurrency' || countsApart(subject)) return 0n;
  const span = rangeOf(limit, nowMs);
  if (span.startMs >= dayMs) return 0n;
  return usedInWindow(runOn(tx), limitCounter(limit, limit.teamId, NO_SUBJECTS, nowMs), span.startMs, dayMs);
}

async function readCalls(tx: Transaction, limit: Limit, dayMs: number): Promise<ReplayedCall[]> {
  const rows = await tx
    .select({
      at: usageEvents.createdAt,
      teamId: usageEvents.teamId,
      endUser: usageEvents.endUser,
      tags: usageEvents.tags,
      model: usageEvents.model,
      cost: usageEvents.costUsd,
      inputTokens: usageEvents.inputTokens,
      outputTokens: usageEvents.outputTokens,
      durationMs: sql<number>`(select coalesce(sum(value::float8), 0) / 1000 from jsonb_each_text(${usageEvents.stageUs} - 'first_byte'))`,
    })
    .from(usageEvents)
    .where(and(gte(usageEvents.createdAt, new Date(dayMs)), countedBy(limit)))
    .orderBy(asc(usageEvents.createdAt), asc(usageEvents.id))
    .limit(PREVIEWED_MAX);
  return rows
    .filter((row) => includesModel(limit.models, row.model))
    .map((row) => ({
      atMs: row.at.getTime(),
      durationMs: row.durationMs,
      user: `${row.teamId}/${partOf(limit, { endUser: row.endUser, tags: tagTexts(row.tags) }) ?? ''}`,
      claim: { cost: usd(row.cost), input_tokens: row.inputTokens, output_tokens: row.outputTokens },
    }));
}

function hasTag(name: string): SQL {
  return sql`${usageEvents.tags} -> ${name}::text is not null`;
}

function countedBy({ subject, teamId }: Limit): SQL | undefined {
  const ofTeam = teamId === ORGANIZATION_ID ? undefined : eq(usageEvents.teamId, teamId);
  if (subject.type === 'department') return sql`${subject.id}::uuid = any(${usageEvents.departments})`;
  if (subject.type === 'key') return and(ofTeam, eq(usageEvents.keyId, subject.id));
  if (subject.type === 'tag') {
    const { name, value } = subject;
    return and(ofTeam, value === null ? hasTag(name) : sql`${usageEvents.tags} ->> ${name} = ${value}`);
  }
  if (subject.type !== 'user' || subject.id === null) return ofTeam;
  return and(ofTeam, eq(usageEvents.endUser, subject.id));
}
