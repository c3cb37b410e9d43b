/**
 * The catalog as the gateway reads it: keys with all that decides whether they may spend, the rate cards' rows, and
 * the version by which replicas notice a change.
 */

import { type Account, inSpendingOrder, type UnknownCall } from '../../domain/budget.ts';
import {
  asId,
  type EventId,
  type GrantId,
  type KeyId,
  type LimitId,
  type RaiseId,
  type TeamId,
} from '../../domain/ids.ts';
import {
  type Grant,
  type Limit,
  type Meter,
  type OnExhausted,
  ORGANIZATION_ID,
  type SubjectType,
  subjectOf,
} from '../../domain/limit.ts';
import { usd } from '../../domain/money.ts';
import type { OnShortage } from '../../domain/open-ended.ts';
import { TAG_RULES_MAX, type TagRule, tagTexts } from '../../domain/tags.ts';
import type { ClientGone } from '../../domain/upstream.ts';
import type { Warning } from '../../domain/warning.ts';
import type { Window } from '../../domain/window.ts';
import type { Sql } from '../database.ts';

/** A key as it stands in the database; whether it may be used at a moment is the caller's question. */
export interface KeyRecord {
  account: Account;
  expiresAtMs: number | null;
  revoked: boolean;
}

/** Finds a key by the hash of its text, or of the one before, which ends with its grace; null: no such key. */
export async function findKey(sql: Sql, hash: string): Promise<KeyRecord | null> {
  const [row] = await sql<
    {
      id: KeyId;
      team_id: TeamId;
      team_name: string;
      models: string[] | null;
      team_models: string[] | null;
      expires_at_ms: number | null;
      revoked: boolean;
      unlimited: boolean;
      fail_open: boolean;
      on_client_gone: ClientGone | null;
      on_shortage: OnShortage | null;
      content_days: number | null;
      tags: Record<string, string> | null;
      prepaid: boolean;
      departments: string | null;
    }[]
  >`
    select k.id, k.team_id, t.name as team_name, k.models, t.models as team_models, t.unlimited, t.fail_open, t.on_client_gone, t.content_days,
      coalesce(k.on_shortage, t.on_shortage) as on_shortage, k.tags,
      (extract(epoch from case when k.hash = ${hash} then k.expires_at
        else least(k.expires_at, k.previous_expires_at) end) * 1000)::float8 as expires_at_ms,
      (k.revoked_at is not null or t.deleted_at is not null) as revoked,
      exists (select 1 from grants g where g.team_id = t.id) as prepaid,
      department_path(t.department_id)::text as departments
    from keys k join teams t on t.id = k.team_id
    where k.hash = ${hash} or k.previous_hash = ${hash}`;
  if (!row) return null;
  const [limits, grants, unknown, tagRules, warned] = await Promise.all([
    limitsOf(sql, row.team_id, row.id, row.departments),
    grantsOf(sql, row.team_id),
    unknownOf(sql, row.team_id),
    readTagRules(sql),
    openWarnings(sql, [row.team_id, ORGANIZATION_ID]),
  ]);
  const sources = new Set<LimitId | GrantId>([...limits, ...grants].map(({ id }) => id));
  const warnings = warned.filter(({ sourceId }) => sources.has(sourceId));
  const principal = {
    teamId: row.team_id,
    teamName: row.team_name,
    keyId: row.id,
    models: row.models,
    teamModels: row.team_models,
  };
  return {
    account: {
      principal,
      limits,
      grants,
      prepaid: row.prepaid,
      departments: row.departments,
      unlimited: row.unlimited,
      hasInstead: limits.some(({ onExhausted }) => onExhausted !== null),
      failOpen: row.fail_open,
      onClientGone: row.on_client_gone,
      onShortage: row.on_shortage,
      keepsContents: row.content_days !== null,
      tags: tagTexts(row.tags),
      tagRules,
      warnings,
      unknown,
    },
    expiresAtMs: row.expires_at_ms,
    revoked: row.revoked,
  };
}

/**
 * Runs the statements of `findKey` for a key that does not exist. The first run on a connection costs it, and its first
 * call, some ten milliseconds: Postgres starts a process, reads its own catalog and plans.
 */
export async function warmKeys(sql: Sql): Promise<void> {
  await Promise.all([
    findKey(sql, ''),
    limitsOf(sql, ORGANIZATION_ID, asId(ORGANIZATION_ID), null),
    grantsOf(sql, ORGANIZATION_ID),
    unknownOf(sql, ORGANIZATION_ID),
    readTagRules(sql),
    openWarnings(sql, [ORGANIZATION_ID]),
  ]);
}

/** Every limit that may touch the key's calls; which of them do, the call's model and end user decide. */
async function limitsOf(
  sql: Sql,
  teamId: TeamId,
  keyId: KeyId,
  departments: string | null,
): Promise<Limit[]> {
  const rows = await sql<
    {
      id: LimitId;
      team_id: TeamId;
      subject_type: SubjectType;
      subject_id: string | null;
      models: string[] | null;
      meter: Meter;
      amount: string;
      window: Window;
      enforcement: 'strict' | 'soft';
      max_hold: string | null;
      max_unknown: string | null;
      name: string | null;
      on_exhausted: OnExhausted | null;
      reset_at_ms: number | null;
      raises: { id: RaiseId; amount: string; starts_at_ms: number; until_ms: number }[] | null;
    }[]
  >`
    select id, team_id, name, subject_type, subject_id, models, meter, amount::text, "window", enforcement, max_hold::text,
      max_unknown::text, on_exhausted, floor(extract(epoch from reset_at) * 1000)::float8 as reset_at_ms,
      (select json_agg(json_build_object('id', r.id, 'amount', r.amount::text,
          'starts_at_ms', floor(extract(epoch from r.starts_at) * 1000)::float8,
          'until_ms', floor(extract(epoch from r.until) * 1000)::float8) order by r.until, r.id)
        from limit_raises r where r.limit_id = limits.id and r.until > tollgate_now()) as raises
    from limits
    where team_id in (${teamId}, ${ORGANIZATION_ID}) and deleted_at is null
      and (subject_type <> 'key' or subject_id = ${keyId})
      and (subject_type <> 'department' or subject_id = any(${departments}::text::text[]))
    order by created_at, id`;
  return rows.map((row) => ({
    id: row.id,
    teamId: row.team_id,
    subject: subjectOf(row.subject_type, row.subject_id, teamId),
    models: row.models,
    meter: row.meter,
    amount: usd(row.amount),
    window: row.window,
    enforcement: row.enforcement,
    maxHold: row.max_hold === null ? null : usd(row.max_hold),
    maxUnknown: row.max_unknown === null ? null : usd(row.max_unknown),
    name: row.name,
    onExhausted: row.on_exhausted,
    resetAtMs: row.reset_at_ms,
    raises: (row.raises ?? []).map(({ id, amount, starts_at_ms: startsAtMs, until_ms: untilMs }) => ({
      ...{ id, amount: usd(amount), startsAtMs, untilMs },
    })),
  }));
}

/** The latest calls of unknown outcome are enough to know that there are too many. */
const UNKNOWN_MAX = 1_000;

async function unknownOf(sql: Sql, teamId: TeamId): Promise<UnknownCall[]> {
  const rows = await sql<
    {
      id: EventId;
      key_id: KeyId;
      model: string;
      end_user: string | null;
      tags: Record<string, string> | null;
      admitted_ms: number;
      charged: string;
    }[]
  >`
    select e.id, e.key_id, e.model, e.end_user, e.tags, e.cost_usd::text as charged,
      floor(extract(epoch from e.created_at) * 1000)::float8 as admitted_ms
    from usage_events e
    where e.team_id = ${teamId} and e.outcome = 'unknown'
      and not exists (select from adjustments a where a.team_id = e.team_id and a.event_id = e.id)
    order by e.created_at desc limit ${UNKNOWN_MAX}`;
  return rows.map((row) => ({
    id: row.id,
    keyId: row.key_id,
    model: row.model,
    endUser: row.end_user,
    tags: tagTexts(row.tags),
    admittedMs: row.admitted_ms,
    charged: usd(row.charged),
  }));
}

async function grantsOf(sql: Sql, teamId: TeamId): Promise<Grant[]> {
  const rows = await sql<
    {
      id: GrantId;
      amount: string;
      starts_at_ms: number;
      expires_at_ms: number | null;
      max_unknown: string | null;
      name: string | null;
    }[]
  >`
    select id, name, amount_usd::text as amount, floor(extract(epoch from starts_at) * 1000)::float8 as starts_at_ms,
      floor(extract(epoch from expires_at) * 1000)::float8 as expires_at_ms, max_unknown_usd::text as max_unknown
    from grants where team_id = ${teamId} and deleted_at is null`;
  return inSpendingOrder(
    rows.map((row) => ({
      id: row.id,
      teamId,
      amount: usd(row.amount),
      startsAtMs: row.starts_at_ms,
      expiresAtMs: row.expires_at_ms,
      maxUnknown: row.max_unknown === null ? null : usd(row.max_unknown),
      name: row.name,
    })),
  );
}

/** Warnings in the headers of a team's responses; beyond that, of its end users and tags the latest. */
const OPEN_MAX = 1_000;

/** The highest threshold that each budget of these teams has reached in a window that is open, by its present amount. */
export async function openWarnings(sql: Sql, teamIds: TeamId[]): Promise<Warning[]> {
  const rows = await sql<
    {
      source_id: LimitId | GrantId;
      end_user: string | null;
      tag: string | null;
      percent: number;
      until_ms: number | null;
    }[]
  >`
    select c.source_id, case when c.subject_type = 'user' then c.subject_id end as end_user,
      case when c.subject_type = 'tag' then c.subject_id end as tag,
      max(w.threshold) as percent, (extract(epoch from c.ends_at) * 1000)::float8 as until_ms
    from warnings w join counters c on c.team_id = w.team_id and c.id = w.counter_id and c.amount = w.amount
    where w.team_id = any(${teamIds}::text[]::uuid[]) and (c.ends_at is null or c.ends_at > tollgate_now())
    group by c.source_id, c.subject_type, 2, 3, c.ends_at
    order by c.subject_type in ('user', 'tag'), max(w.raised_at) desc, c.source_id limit ${OPEN_MAX}`;
  return rows.map((row) => ({
    sourceId: row.source_id,
    endUser: row.end_user,
    tag: row.tag,
    percent: row.percent,
    untilMs: row.until_ms,
  }));
}

/** What admins say of tags; all of them, since they are few. */
async function readTagRules(sql: Sql): Promise<TagRule[]> {
  return await sql<TagRule[]>`
    select name, "values", pattern, sources, required as "isRequired", on_unknown as "onUnknown",
      max_values as "valuesMax", idle_days as "idleDays"
    from tags order by name limit ${TAG_RULES_MAX}`;
}

export interface CatalogChange {
  version: number;
  /** Teams whose own limits or grants changed; `ORGANIZATION_ID` among them stands for all teams. */
  teamIds: TeamId[];
  /** Teams whose keys are to be read again for any other reason. */
  rereadTeamIds: TeamId[];
}

/** What changed since `version`; called a few times a second by every replica. */
export async function catalogChanges(sql: Sql, version: number): Promise<CatalogChange> {
  const [row] = await sql<{ version: number; team_ids: TeamId[] | null; reread_ids: TeamId[] | null }[]>`
    select version::float8 as version, case when version > ${version} then
        (select array_agg(id::text) from teams where changed_at_version > ${version}) end as team_ids,
      case when version > ${version} then
        (select array_agg(id::text) from teams where warned_at_version > ${version}) end as reread_ids
    from catalog_version`;
  return {
    version: row?.version ?? 0,
    teamIds: row?.team_ids ?? [],
    rereadTeamIds: row?.reread_ids ?? [],
  };
}
