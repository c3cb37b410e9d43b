/**
 * The job `notify`: finds what recipients want to know, and raises it once for each of them. Owns: when a projection, a
 * spike and a digest are worth a notice. Does not own: warnings themselves (warn.ts), the sending (send-notices.ts).
 * Invariant: topics name what they are about, so a second run, here or on another replica, raises nothing.
 */
import { asId, type DepartmentId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { NoticeFacts, NoticeKind } from '../domain/notice.ts';
import { type BurnRate, outlookOf, paceRange } from '../domain/outlook.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS, QUARTER_HOUR_MS } from '../domain/window.ts';
import { readDepartmentBudgets, readTeamBudgets, type TeamBudget } from '../store/budgets.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { departmentPaths } from '../store/departments.ts';
import { readNames } from '../store/names.ts';
import { type DigestSubject, dearestCalls, readDigest, readHourlySpend } from '../store/notice-facts.ts';
import {
  type NewNotice,
  type NoticeRow,
  openRecipients,
  type RaisedBudgetWarning,
  raisedAmong,
  raiseNotices,
  warningsSince,
} from '../store/notices.ts';
import { readSpent } from '../store/overview.ts';
import type { RecipientRow } from '../store/recipients.ts';

export interface NotifyOptions {
  database: Database;
  /** An hour that costs so many times the usual one is a spike. */
  spikeTimes: number;
}

/** Any number, the same in every version of Tollgate. */
const NOTIFY_LOCK = 8_655_428_319;
/** What is older is no news any more: all replicas were down. */
const WARNINGS_MS = DAY_MS;
/** A team learns of it when its money ends within these days at its pace. */
const PROJECTED_MS = 7 * DAY_MS;
/** An hour below it is no spike, whatever is usual. */
const SPIKE_LEAST = 10n ** 12n;
/** A digest is sent at seven in the morning (UTC), or when a gateway runs again within three days. */
const DIGEST_AFTER_MS = 7 * 3_600_000;
const DIGEST_UNTIL_MS = 3 * DAY_MS;

/** Returns the notices that are new; null while another replica looks. */
export function notify({ database, spikeTimes }: NotifyOptions): Promise<NoticeRow[] | null> {
  return runAlone(database, NOTIFY_LOCK, async (now) => {
    const recipients = await openRecipients(database);
    if (recipients.length === 0) return [];
    const look = await lookFor(database, recipients, now);
    const found = [
      ...(await budgetWarnings(look)),
      ...(await projections(look)),
      ...(await departmentProjections(look)),
      ...(await spikes(look, spikeTimes)),
      ...(await digests(look)),
    ];
    return raiseNotices(database, found, now);
  });
}

interface Look {
  database: Database;
  recipients: readonly RecipientRow[];
  /** The departments above a team or department, its own id too. Empty where no recipient is of a department. */
  paths: ReadonlyMap<string, readonly DepartmentId[]>;
  /** The teams that have recipients, themselves or by a department above them, without the organization. */
  teamIds: TeamId[];
  /** The departments that have recipients, themselves or above them, each with the teams below it. */
  teamsOf: ReadonlyMap<DepartmentId, TeamId[]>;
  /** Of these teams and departments. */
  names: ReadonlyMap<string, string>;
  now: Date;
}

/** Returns the recipients, and of which teams and departments they get notices. */
async function lookFor(database: Database, recipients: RecipientRow[], now: Date): Promise<Look> {
  const told = new Set(recipients.flatMap(({ departmentId }) => departmentId ?? []));
  const paths = told.size === 0 ? new Map<string, DepartmentId[]>() : await departmentPaths(database.db);
  // The first of a department's path is itself.
  const isDepartment = (id: string, path: readonly DepartmentId[]) => path[0] === id;
  const teamsOf = new Map<DepartmentId, TeamId[]>();
  for (const [id, path] of paths)
    if (isDepartment(id, path) && path.some((above) => told.has(above))) teamsOf.set(asId(id), []);
  for (const [id, path] of paths)
    if (!isDepartment(id, path)) for (const above of path) teamsOf.get(above)?.push(asId(id));
  const named = new Set([...recipients.map(({ teamId }) => teamId), ...[...teamsOf.values()].flat()]);
  named.delete(ORGANIZATION_ID);
  const teamIds = [...named];
  const names = new Map([
    ...(await readNames(database, 'teams', teamIds)),
    ...(await readNames(database, 'departments', [...teamsOf.keys()])),
  ]);
  return { database, recipients, paths, teamIds, teamsOf, names, now };
}

/**
 * The recipients of a team or a department that want a kind. Those of a department get what is of the teams and departments
 * below it too, and those of the organization its digests and all warnings.
 */
function wanting({ recipients, paths }: Look, kind: NoticeKind, id: TeamId | DepartmentId): RecipientRow[] {
  const above = paths.get(id) ?? [];
  return recipients.filter(({ wants, teamId, departmentId }) => {
    if (!wants.includes(kind)) return false;
    if (departmentId !== null) return above.includes(departmentId);
    return teamId === id || (kind === 'warning' && teamId === ORGANIZATION_ID);
  });
}

async function budgetWarnings(look: Look): Promise<NewNotice[]> {
  if (!look.recipients.some(({ wants }) => wants.includes('warning'))) return [];
  const found: NewNotice[] = [];
  for await (const raised of warningsSince(look.database, new Date(look.now.getTime() - WARNINGS_MS)))
    found.push(...(await noticesOf(look, raised)));
  return found;
}

/** Of some warnings, the notices that were not raised before. */
async function noticesOf(look: Look, raised: readonly RaisedBudgetWarning[]): Promise<NewNotice[]> {
  const { database } = look;
  const topicOf = (id: string) => `warning ${id}`;
  const before = await raisedAmong(
    database,
    raised.map(({ id }) => topicOf(id)),
  );
  const names = await readNames(
    database,
    'teams',
    raised.map(({ teamId }) => teamId),
  );
  return raised.flatMap(({ id, teamId, departmentId, raisedAt, facts }) =>
    wanting(look, 'warning', departmentId ?? teamId)
      .filter((each) => each.createdAt <= raisedAt && !before.has(`${each.id} ${topicOf(id)}`))
      .map((recipient) => ({
        ...{ teamId, recipientId: recipient.id, topic: topicOf(id) },
        facts: { ...facts, team: teamId === ORGANIZATION_ID ? null : (names.get(teamId) ?? '') },
      })),
  );
}

async function projections(look: Look): Promise<NewNotice[]> {
  const { database, names } = look;
  const teamIds = look.teamIds.filter((id) => wanting(look, 'projection', id).length > 0);
  if (teamIds.length === 0) return [];
  const rateOf = await burnRates(look, teamIds);
  const { budgets, prepaid } = await readTeamBudgets(database, teamIds);
  return teamIds.flatMap((teamId): NewNotice[] => {
    const own = budgets.filter((budget) => budget.teamId === teamId);
    const found = projectionOf(look, own, prepaid.has(teamId), rateOf([teamId]));
    if (found === null) return [];
    return wanting(look, 'projection', teamId).map(({ id }) => ({
      ...{ teamId, recipientId: id, topic: found.topic },
      facts: { ...found.facts, team: names.get(teamId) ?? '' },
    }));
  });
}

/** Of the budgets of departments themselves, which all teams below them spend. */
async function departmentProjections(look: Look): Promise<NewNotice[]> {
  const { database, names, teamsOf } = look;
  const ids = [...teamsOf.keys()].filter((id) => wanting(look, 'projection', id).length > 0);
  if (ids.length === 0) return [];
  const budgets = await readDepartmentBudgets(database, ids);
  const rateOf = await burnRates(look, [...new Set(ids.flatMap((id) => teamsOf.get(id) ?? []))]);
  return ids.flatMap((departmentId): NewNotice[] => {
    const rate = rateOf(teamsOf.get(departmentId) ?? []);
    const found = projectionOf(look, budgets.get(departmentId) ?? [], false, rate);
    if (found === null) return [];
    const about = { type: 'department', name: names.get(departmentId) ?? '' } as const;
    return wanting(look, 'projection', departmentId).map(({ id }) => ({
      ...{ teamId: ORGANIZATION_ID, recipientId: id, topic: found.topic },
      facts: { ...found.facts, team: null, about },
    }));
  });
}

/** Reads what these teams spent of late; returns the pace of some of them together. */
async function burnRates(
  { database, now }: Look,
  teamIds: readonly TeamId[],
): Promise<(ids: readonly TeamId[]) => BurnRate> {
  const range = paceRange(now.getTime());
  const spent = await readSpent(database.readSql, range, teamIds);
  const inMs = now.getTime() - range.startMs;
  return (ids) => ({ spent: ids.reduce((sum, id) => sum + (spent.get(id) ?? 0n), 0n), inMs });
}

/** Returns what a projection says of budgets that end soon at this rate; null: they do not. */
function projectionOf({ now }: Look, budgets: TeamBudget[], isPrepaid: boolean, rate: BurnRate) {
  const { remaining, exhaustsAtMs } = outlookOf(budgets, isPrepaid, rate, now.getTime());
  if (remaining === null || remaining === 0n || exhaustsAtMs === null) return null;
  if (rate.spent === 0n || exhaustsAtMs > now.getTime() + PROJECTED_MS) return null;
  // Once for what there is now: another window, amount or grant is another topic.
  const state = budgets.map(({ id, amount, endsAtMs }) => `${id} ${amount} ${endsAtMs ?? ''}`).sort();
  const facts = {
    ...({ kind: 'projection', remaining: formatUsd(remaining), spent: formatUsd(rate.spent) } as const),
    exhaustsAt: new Date(exhaustsAtMs).toISOString(),
  };
  return { topic: `projection ${state.join(', ')}`, facts };
}

async function spikes(look: Look, times: number): Promise<NewNotice[]> {
  const { database, now, names } = look;
  const nowMs = now.getTime();
  const teamIds = look.teamIds.filter((id) => wanting(look, 'spike', id).length > 0);
  const found: NewNotice[] = [];
  // Once a day: what goes on is no news.
  const topic = `spike ${now.toISOString().slice(0, 10)}`;
  const raised = await raisedAmong(database, [topic]);
  for (const [teamId, { lastHour, usualHour }] of await readHourlySpend(database, teamIds, nowMs)) {
    if (lastHour < SPIKE_LEAST || lastHour < usualHour * BigInt(times)) continue;
    const wanted = wanting(look, 'spike', teamId).filter(({ id }) => !raised.has(`${id} ${topic}`));
    if (wanted.length === 0) continue;
    const facts: NoticeFacts = {
      ...{ kind: 'spike', team: names.get(teamId) ?? '', at: new Date(hourEndMs(nowMs)).toISOString() },
      ...{ cost: formatUsd(lastHour), usual: formatUsd(usualHour) },
      times: usualHour === 0n ? 0 : Number((lastHour * 10n) / usualHour) / 10,
      calls: await dearestCalls(database, teamId, nowMs),
    };
    for (const { id } of wanted) found.push({ teamId, recipientId: id, topic, facts });
  }
  return found;
}

function hourEndMs(nowMs: number): number {
  return Math.floor(nowMs / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
}

async function digests(look: Look): Promise<NewNotice[]> {
  const { database, now, recipients } = look;
  const found: NewNotice[] = [];
  for (const [kind, period] of Object.entries(periodsAt(now)) as ['weekly' | 'monthly', Period][]) {
    const lateMs = now.getTime() - period.to.getTime();
    if (lateMs < DIGEST_AFTER_MS || lateMs > DIGEST_UNTIL_MS) continue;
    const topic = `${kind} ${period.from.toISOString().slice(0, 10)}`;
    const raised = await raisedAmong(database, [topic]);
    const wanted = recipients.filter(
      ({ id, wants }) => wants.includes(kind) && !raised.has(`${id} ${topic}`),
    );
    const ofEach = Map.groupBy(wanted, ({ teamId, departmentId }) => departmentId ?? teamId);
    for (const of of ofEach.values()) {
      const [{ teamId, departmentId }] = of as [RecipientRow];
      const facts = await readDigest(
        database,
        { kind, ...digestSubject(look, teamId, departmentId) },
        period,
      );
      for (const { id } of of) found.push({ teamId, recipientId: id, topic, facts });
    }
  }
  return found;
}

/** Whose sums a digest has, as its readers know them. */
function digestSubject(
  { names, teamsOf }: Look,
  teamId: TeamId,
  departmentId: DepartmentId | null,
): DigestSubject {
  if (departmentId !== null) {
    const about = { type: 'department', name: names.get(departmentId) ?? '' } as const;
    return { teamIds: teamsOf.get(departmentId) ?? [], team: null, about };
  }
  if (teamId === ORGANIZATION_ID) return { teamIds: undefined, team: null };
  return { teamIds: [teamId], team: names.get(teamId) ?? '' };
}

interface Period {
  /** Where the period before begins. */
  before: Date;
  from: Date;
  /** Exclusive. */
  to: Date;
}

/** Returns the last whole week, from Monday, and the last whole month, in UTC. */
function periodsAt(now: Date): Record<'weekly' | 'monthly', Period> {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const monday = Date.UTC(year, month, now.getUTCDate() - ((now.getUTCDay() + 6) % 7));
  const at = (ms: number) => new Date(ms);
  return {
    weekly: { before: at(monday - 14 * DAY_MS), from: at(monday - 7 * DAY_MS), to: at(monday) },
    monthly: {
      before: at(Date.UTC(year, month - 2)),
      from: at(Date.UTC(year, month - 1)),
      to: at(Date.UTC(year, month)),
    },
  };
}
