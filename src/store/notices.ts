/**
 * Notices as rows. Invariants: a topic is raised once for each recipient, by whichever replica and however often it looks; a claim puts the
 * next attempt off before anything is sent, so no two replicas send the same at once, and what a dead one claimed is sent
 * by another.
 */
import { randomUUID } from 'node:crypto';
import { and, asc, desc, eq, gte, inArray, isNull, lte, type SQL, sql } from 'drizzle-orm';
import type { AnyPgColumn } from 'drizzle-orm/pg-core';
import { formatAmount } from '../domain/amount.ts';
import { asId, type DepartmentId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { type NoticeFacts, noticeFacts } from '../domain/notice.ts';
import { type After, clock, isAfter } from './changes.ts';
import { type Database, inStatements, runOn } from './database.ts';
import type { RecipientRow } from './recipients.ts';
import { counters, departments, keys, notices, recipients, teams, warnings } from './schema.ts';

export type NoticeRow = typeof notices.$inferSelect;

export interface NewNotice {
  teamId: TeamId;
  recipientId: string;
  topic: string;
  facts: NoticeFacts;
}

/** Raises those that are new; returns them. */
export async function raiseNotices(
  { db }: Database,
  raised: readonly NewNotice[],
  now: Date,
): Promise<NoticeRow[]> {
  const rows = raised.map((each) => ({
    ...each,
    id: randomUUID(),
    kind: each.facts.kind,
    facts: noticeFacts.parse(each.facts),
    raisedAt: now,
    nextAttemptAt: now,
    ...{ attempts: 0, deliveredAt: null, problem: null },
  }));
  const made = new Set<string>();
  for (const some of inStatements(rows)) {
    // As one value: Drizzle takes half a millisecond for a row of parameters, and there may be thousands.
    const json = some.map((row) => ({
      ...{ team_id: row.teamId, id: row.id, recipient_id: row.recipientId, topic: row.topic, kind: row.kind },
      ...{ facts: row.facts, raised_at: row.raisedAt, next_attempt_at: row.nextAttemptAt, attempts: 0 },
    }));
    const inserted = await runOn(db)<{ id: string }>(sql`
      insert into notices
      select * from json_populate_recordset(null::notices, ${JSON.stringify(json)}::text::json)
      on conflict do nothing returning id`);
    for (const { id } of inserted) made.add(id);
  }
  return rows.filter(({ id }) => made.has(id));
}

/** Of some topics, returns those that were raised, as `<recipient> <topic>`: their facts need not be read again. */
export async function raisedAmong({ db }: Database, topics: readonly string[]): Promise<Set<string>> {
  if (topics.length === 0) return new Set();
  const rows = await db
    .select({ recipientId: notices.recipientId, topic: notices.topic })
    .from(notices)
    .where(inArray(notices.topic, [...topics]));
  return new Set(rows.map(({ recipientId, topic }) => `${recipientId} ${topic}`));
}

/** Returns all recipients that are not deleted and whose team or department is not. */
export async function openRecipients({ db }: Database): Promise<RecipientRow[]> {
  const rows = await db
    .select({ recipient: recipients })
    .from(recipients)
    .innerJoin(teams, eq(teams.id, recipients.teamId))
    .leftJoin(departments, eq(departments.id, recipients.departmentId))
    .where(
      and(
        isNull(recipients.deletedAt),
        isNull(departments.deletedAt),
        sql`(${teams.deletedAt} is null or ${teams.id} = ${ORGANIZATION_ID})`,
      ),
    );
  return rows.map(({ recipient }) => recipient);
}

/** A warning of a budget, as recipients learn of it. */
export interface RaisedBudgetWarning {
  id: string;
  teamId: TeamId;
  /** Whose budget it is; null: of no department. */
  departmentId: DepartmentId | null;
  raisedAt: Date;
  facts: Omit<Extract<NoticeFacts, { kind: 'warning' }>, 'team'>;
}

/** Yields the warnings raised since a moment, oldest first: all of them, for one team may have thousands. */
export async function* warningsSince(database: Database, since: Date): AsyncGenerator<RaisedBudgetWarning[]> {
  let after: After | null = null;
  for (;;) {
    const page = await warningsAfter(database, since, after);
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < WARNINGS_AT_ONCE) return;
    after = { createdAt: last.raisedAt, id: last.id };
  }
}

async function warningsAfter(
  { db }: Database,
  since: Date,
  after: After | null,
): Promise<RaisedBudgetWarning[]> {
  const rows = await db
    .select({ warning: warnings, counter: counters, key: keys.name, department: departments.name })
    .from(warnings)
    .innerJoin(counters, and(eq(counters.teamId, warnings.teamId), eq(counters.id, warnings.counterId)))
    .leftJoin(keys, named('key', keys.id))
    .leftJoin(departments, named('department', departments.id))
    .where(
      and(gte(warnings.raisedAt, since), isAfter({ createdAt: warnings.raisedAt, id: warnings.id }, after)),
    )
    .orderBy(asc(warnings.raisedAt), asc(warnings.id))
    .limit(WARNINGS_AT_ONCE);
  return rows.map(({ warning, counter, key, department }) => {
    const { id, teamId, raisedAt, threshold, denied } = warning;
    const { sourceId, meter, endsAt } = counter;
    // A raise has no warnings of its own.
    const source = counter.source === 'grant' ? 'grant' : 'limit';
    const amounts = {
      settled: formatAmount(meter, usd(warning.settled)),
      amount: formatAmount(meter, usd(warning.amount)),
    };
    return {
      ...{ id, teamId, raisedAt },
      departmentId: counter.subjectType === 'department' ? asId<DepartmentId>(counter.subjectId) : null,
      facts: {
        ...aboutOf(counter, key ?? department),
        ...{ kind: 'warning', source, sourceId, meter, threshold, denied, ...amounts },
        endsAt: endsAt?.toISOString() ?? null,
      },
    };
  });
}

/** The row that a counter's subject names. */
function named(type: 'key' | 'department', id: AnyPgColumn): SQL | undefined {
  return and(eq(counters.subjectType, type), eq(sql`${id}::text`, counters.subjectId));
}

/** Whom a budget counts, where it is neither a team nor the whole installation. */
function aboutOf({ subjectType: type, subjectId }: typeof counters.$inferSelect, name: string | null) {
  return type === 'org' || type === 'team' ? {} : { about: { type, name: name ?? subjectId } };
}

const WARNINGS_AT_ONCE = 1_000;

/** A notice on its way, with whom it goes to. */
export interface DueNotice extends NoticeRow {
  recipient: RecipientRow;
}

/** Takes notices whose attempt is due, oldest first. What its recipient, or who no longer is one, does not want ends here. */
export async function claimNotices(
  { db }: Database,
  { limit, forMs }: { limit: number; forMs: number },
): Promise<DueNotice[]> {
  const now = await clock(db);
  const isDue = lte(notices.nextAttemptAt, now);
  const due = await db
    .select({ teamId: notices.teamId, id: notices.id })
    .from(notices)
    .where(isDue)
    .orderBy(asc(notices.nextAttemptAt))
    .limit(limit);
  if (due.length === 0) return [];
  const claimed = await db
    .update(notices)
    .set({ attempts: sql`${notices.attempts} + 1`, nextAttemptAt: new Date(now.getTime() + forMs) })
    .where(
      and(
        isDue,
        among(notices.teamId, due),
        inArray(
          notices.id,
          due.map(({ id }) => id),
        ),
      ),
    )
    .returning();
  const ids = [...new Set(claimed.map(({ recipientId }) => recipientId))];
  const found = ids.length === 0 ? [] : await db.select().from(recipients).where(inArray(recipients.id, ids));
  const byId = new Map(found.map((recipient) => [recipient.id, recipient]));
  const kept: DueNotice[] = [];
  for (const notice of claimed) {
    const recipient = byId.get(notice.recipientId);
    const problem = unwanted(notice, recipient);
    if (recipient !== undefined && problem === null) kept.push({ ...notice, recipient });
    else await endNotice({ db }, notice, { problem, againAt: null });
  }
  return kept.sort((a, b) => a.raisedAt.getTime() - b.raisedAt.getTime());
}

/** Returns why a notice is not sent any more; null: it is. */
function unwanted({ kind }: NoticeRow, recipient: RecipientRow | undefined): string | null {
  if (recipient === undefined || recipient.deletedAt !== null) return 'the recipient was deleted';
  return recipient.wants.includes(kind) ? null : 'the recipient does not want such notices any more';
}

function among(column: typeof notices.teamId, rows: readonly { teamId: TeamId }[]): SQL {
  return inArray(column, [...new Set(rows.map(({ teamId }) => teamId))]);
}

/** How an attempt ended; null as a problem: it was delivered. */
export interface NoticeEnd {
  problem: string | null;
  /** Null: it is given up, or was delivered. */
  againAt: Date | null;
}

export async function endNotice(
  { db }: Pick<Database, 'db'>,
  { teamId, id }: NoticeRow,
  { problem, againAt }: NoticeEnd,
): Promise<void> {
  const now = await clock(db);
  await db
    .update(notices)
    .set({ problem, nextAttemptAt: againAt, ...(problem === null ? { deliveredAt: now } : {}) })
    .where(and(eq(notices.teamId, teamId), eq(notices.id, id), isNull(notices.deliveredAt)));
}

/** A notice in a list; its recipient may be deleted. */
export interface ListedNotice extends NoticeRow {
  createdAt: Date;
  recipient: RecipientRow | null;
}

/** Reads notices, newest first. */
export async function listNotices(
  { db }: Database,
  page: { after: After | null; limit: number; teamIds: readonly TeamId[] | undefined },
): Promise<ListedNotice[]> {
  const rows = await db
    .select()
    .from(notices)
    .where(
      and(
        isAfter({ createdAt: notices.raisedAt, id: notices.id }, page.after, 'desc'),
        page.teamIds && inArray(notices.teamId, [...page.teamIds]),
      ),
    )
    .orderBy(desc(notices.raisedAt), desc(notices.id))
    .limit(page.limit);
  const ids = [...new Set(rows.map(({ recipientId }) => recipientId))];
  const found = ids.length === 0 ? [] : await db.select().from(recipients).where(inArray(recipients.id, ids));
  const byId = new Map(found.map((recipient) => [recipient.id, recipient]));
  return rows.map((row) => ({
    ...row,
    createdAt: row.raisedAt,
    recipient: byId.get(row.recipientId) ?? null,
  }));
}
