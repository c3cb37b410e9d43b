/**
 * The job `notify`: finds what recipients want to know, and raises it once for each of them. Owns: when a projection, a
 * spike and a digest are worth a notice. Does not own: warnings themselves (warn.ts), the sending (send-notices.ts).
 * Invariant: topics name what they are about, so a second run, here or on another replica, raises nothing.
 */
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { NoticeFacts, NoticeKind } from '../domain/notice.ts';
import { outlookOf } from '../domain/outlook.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS, QUARTER_HOUR_MS } from '../domain/window.ts';
import { readTeamBudgets } from '../store/budgets.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { readNames } from '../store/names.ts';
import { dearestCalls, readDigest, readHourlySpend } from '../store/notice-facts.ts';
import {
  type NewNotice,
  type NoticeRow,
  openRecipients,
  type RaisedBudgetWarning,
  raisedAmong,
  raiseNotices,
  warningsSince,
} from '../store/notices.ts';
import { readSpend } from '../store/overview.ts';
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
/** A team learns of it when its money ends within these days at the pace of the last seven. */
const PROJECTED_MS = 7 * DAY_MS;
const PACE_MS = 7 * DAY_MS;
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
    const teamIds = [...new Set(recipients.map(({ teamId }) => teamId))].filter(
      (id) => id !== ORGANIZATION_ID,
    );
    const look: Look = {
      database,
      recipients,
      teamIds,
      names: await readNames(database, 'teams', teamIds),
      now,
    };
    const found = [
      ...(await budgetWarnings(look)),
      ...(await projections(look)),
      ...(await spikes(look, spikeTimes)),
      ...(await digests(look)),
    ];
    return raiseNotices(database, found, now);
  });
}

interface Look {
  database: Database;
  recipients: readonly RecipientRow[];
  /** The teams that have recipients, without the organization. */
  teamIds: TeamId[];
  names: ReadonlyMap<string, string>;
  now: Date;
}

/** The recipients of a team that want a kind. Those of the organization get its digests and all warnings. */
function wanting({ recipients }: Look, kind: NoticeKind, teamId: TeamId): RecipientRow[] {
  return recipients.filter(
    (each) =>
      each.wants.includes(kind) &&
      (each.teamId === teamId || (kind === 'warning' && each.teamId === ORGANIZATION_ID)),
  );
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
  return raised.flatMap(({ id, teamId, raisedAt, facts }) =>
    wanting(look, 'warning', teamId)
      .filter((each) => each.createdAt <= raisedAt && !before.has(`${each.id} ${topicOf(id)}`))
      .map((recipient) => ({
        ...{ teamId, recipientId: recipient.id, topic: topicOf(id) },
        facts: { ...facts, team: teamId === ORGANIZATION_ID ? null : (names.get(teamId) ?? '') },
      })),
  );
}

async function projections(look: Look): Promise<NewNotice[]> {
  const { database, now } = look;
  const teamIds = look.teamIds.filter((id) => wanting(look, 'projection', id).length > 0);
  if (teamIds.length === 0) return [];
  const endMs = Math.ceil((now.getTime() + 1) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const startMs = Math.floor((now.getTime() - PACE_MS) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const recent = { startMs, endMs };
  const spend = await readSpend(
    database.readSql,
    { month: recent, previousMonth: recent, today: recent, recent },
    teamIds,
  );
  const { budgets, prepaid } = await readTeamBudgets(database, teamIds);
  return spend.flatMap((team): NewNotice[] => {
    const own = budgets.filter(({ teamId }) => teamId === team.id);
    const rate = { spent: team.recent, inMs: now.getTime() - startMs };
    const { remaining, exhaustsAtMs } = outlookOf(own, prepaid.has(team.id), rate, now.getTime());
    if (remaining === null || remaining === 0n || exhaustsAtMs === null) return [];
    if (team.recent === 0n || exhaustsAtMs > now.getTime() + PROJECTED_MS) return [];
    const facts: NoticeFacts = {
      ...{ kind: 'projection', team: team.name, remaining: formatUsd(remaining) },
      ...{ exhaustsAt: new Date(exhaustsAtMs).toISOString(), spent: formatUsd(team.recent) },
    };
    // Once for what the team has now: another window, amount or grant is another topic.
    const state = own.map(({ id, amount, endsAtMs }) => `${id} ${amount} ${endsAtMs ?? ''}`).sort();
    const topic = `projection ${state.join(', ')}`;
    return wanting(look, 'projection', team.id).map(({ id }) => ({
      ...{ teamId: team.id, recipientId: id, topic, facts },
    }));
  });
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
  const { database, now, recipients, names } = look;
  const found: NewNotice[] = [];
  for (const [kind, period] of Object.entries(periodsAt(now)) as ['weekly' | 'monthly', Period][]) {
    const lateMs = now.getTime() - period.to.getTime();
    if (lateMs < DIGEST_AFTER_MS || lateMs > DIGEST_UNTIL_MS) continue;
    const topic = `${kind} ${period.from.toISOString().slice(0, 10)}`;
    const raised = await raisedAmong(database, [topic]);
    const wanted = recipients.filter(
      ({ id, wants }) => wants.includes(kind) && !raised.has(`${id} ${topic}`),
    );
    for (const teamId of new Set(wanted.map((each) => each.teamId))) {
      const team = teamId === ORGANIZATION_ID ? null : (names.get(teamId) ?? '');
      const facts = await readDigest(database, { kind, teamId, team }, period);
      for (const { id, teamId: of } of wanted)
        if (of === teamId) found.push({ teamId, recipientId: id, topic, facts });
    }
  }
  return found;
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
