/** What notices tell, as the ledger has it: the last hour beside the usual one, and the sums of a digest. Reads sums, and the events of an hour. */
import type { TeamId } from '../domain/ids.ts';
import { usd } from '../domain/money.ts';
import type { DigestFacts, NoticeFacts } from '../domain/notice.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS, QUARTER_HOUR_MS } from '../domain/window.ts';
import type { Database } from './database.ts';
import { readNames } from './names.ts';
import { readUsage, type UsageRow } from './usage.ts';

const HOUR_MS = 4 * QUARTER_HOUR_MS;
/** The week whose mean is the usual hour. */
const USUAL_HOURS = 7 * 24;

export interface HourlySpend {
  /** In the four quarters that ended last. */
  lastHour: bigint;
  /** An hour's mean of the seven days before. */
  usualHour: bigint;
}

/** Returns what each of these teams spent in the last hour, and usually; teams without a day of history are left out. */
export async function readHourlySpend(
  { readSql: sql }: Database,
  teamIds: readonly TeamId[],
  nowMs: number,
): Promise<Map<TeamId, HourlySpend>> {
  if (teamIds.length === 0) return new Map();
  const endMs = Math.floor(nowMs / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const at = (ms: number) => new Date(ms).toISOString();
  const rows = await sql<{ id: TeamId; last: string; before: string; first: Date }[]>`
    select team_id as id, coalesce(sum(cost_usd) filter (where bucket_start >= ${at(endMs - HOUR_MS)}), 0)::text as last,
      coalesce(sum(cost_usd) filter (where bucket_start < ${at(endMs - HOUR_MS)}), 0)::text as before,
      min(bucket_start) as first
    from usage_rollups
    where team_id = any(${[...teamIds]}::text[]::uuid[]) and bucket_start < ${at(endMs)}
      and bucket_start >= ${at(endMs - HOUR_MS - USUAL_HOURS * HOUR_MS)}
    group by 1`;
  return new Map(
    rows
      .filter(({ first }) => first.getTime() <= endMs - DAY_MS)
      .map(({ id, last, before }) => [
        id,
        { lastHour: usd(last), usualHour: usd(before) / BigInt(USUAL_HOURS) },
      ]),
  );
}

type SpikeCalls = Extract<NoticeFacts, { kind: 'spike' }>['calls'];

/** Returns the dearest calls of a team in the last hour. */
export async function dearestCalls(database: Database, teamId: TeamId, nowMs: number): Promise<SpikeCalls> {
  const endMs = Math.floor(nowMs / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const rows = await database.readSql<{ id: string; model: string; key: string; cost: string }[]>`
    select id, model, key_id as key, cost_usd::text as cost from usage_events
    where team_id = ${teamId} and created_at >= ${new Date(endMs - HOUR_MS).toISOString()}
      and created_at < ${new Date(endMs).toISOString()}
    order by cost_usd desc, id limit 5`;
  const names = await readNames(
    database,
    'keys',
    rows.map(({ key }) => key),
  );
  return rows.map((row) => ({ ...row, key: names.get(row.key) ?? row.key, cost: formatUsd(usd(row.cost)) }));
}

const NAMED_MAX = 8;

/** Whose sums a digest has. */
export interface DigestSubject {
  /** Undefined: all. */
  teamIds: TeamId[] | undefined;
  /** The name of a team; null: a department, or the whole installation. */
  team: string | null;
  about?: DigestFacts['about'];
}

/** Returns the sums of a period of whole UTC days beside those of the period before. */
export async function readDigest(
  database: Database,
  { kind, teamIds, team, about }: DigestSubject & { kind: DigestFacts['kind'] },
  period: { before: Date; from: Date; to: Date },
): Promise<DigestFacts> {
  const { before, from, to } = period;
  const isOfTeams = team === null;
  const ask = (groupBy: ('team' | 'model' | 'key')[], interval: 'day' | 'total', since: Date, until: Date) =>
    readUsage(database, {
      ...{ groupBy, interval, timeZone: 'UTC', from: since, to: until, keyId: undefined },
      ...{ teamIds, limit: 1_000, top: groupBy.length > 0 ? NAMED_MAX : undefined },
    });
  const [days, models, keys, teams, earlier] = await Promise.all([
    ask([], 'day', from, to),
    ask(['model'], 'total', from, to),
    ask(isOfTeams ? ['team', 'key'] : ['key'], 'total', from, to),
    isOfTeams ? ask(['team'], 'total', from, to) : [],
    ask([], 'total', before, from),
  ]);
  const keyNames = await namesAmong(database, 'keys', keys, 'key');
  const teamNames = await namesAmong(database, 'teams', [...keys, ...teams], 'team');
  const costs = new Map(days.map((row) => [row.startsAt?.getTime(), row.costUsd]));
  const total = (rows: { costUsd: string }[]) => rows.reduce((sum, row) => sum + usd(row.costUsd), 0n);
  return {
    ...(about && { about }),
    ...{ kind, team, from: from.toISOString(), to: to.toISOString() },
    cost: formatUsd(total(days)),
    before: formatUsd(total(earlier)),
    calls: days.reduce((sum, row) => sum + row.calls, 0),
    days: Array.from({ length: (to.getTime() - from.getTime()) / DAY_MS }, (_, index) => {
      const ms = from.getTime() + index * DAY_MS;
      return { day: new Date(ms).toISOString().slice(0, 10), cost: formatUsd(usd(costs.get(ms) ?? '0')) };
    }),
    ...(isOfTeams ? { teams: dearest(teams, (row) => teamNames(row.team)) } : {}),
    models: dearest(models, (row) => row.model ?? ''),
    // Keys of several teams may have one name.
    keys: dearest(keys, (row) =>
      isOfTeams ? `${keyNames(row.key)} (${teamNames(row.team)})` : keyNames(row.key),
    ),
  };
}

/** The dearest first; what all others cost together last, so that the rows add up to the whole. */
function dearest(rows: readonly UsageRow[], nameOf: (row: UsageRow) => string): DigestFacts['models'] {
  return rows
    .map((row) => ({ name: row.isOther ? null : nameOf(row), cost: usd(row.costUsd) }))
    .sort((a, b) => {
      if (a.name === null || b.name === null) return Number(a.name === null) - Number(b.name === null);
      return a.cost === b.cost ? 0 : a.cost < b.cost ? 1 : -1;
    })
    .map(({ name, cost }) => ({ name, cost: formatUsd(cost) }));
}

/** Returns what names the ids of a column of some sums. */
async function namesAmong(
  database: Database,
  which: 'teams' | 'keys',
  rows: readonly UsageRow[],
  column: 'team' | 'key',
): Promise<(id: string | null) => string> {
  const ids = new Set(rows.flatMap((row) => row[column] ?? []));
  const names = await readNames(database, which, ids);
  return (id) => names.get(id ?? '') ?? id ?? '';
}
