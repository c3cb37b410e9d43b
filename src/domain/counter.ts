/**
 * Counters: the state of one limit or grant, for one subject and window. Owns: what names a counter, and which calls it
 * counts. Does not own: its sums (store). Pure.
 */

import {
  asId,
  type CounterId,
  type DepartmentId,
  type GrantId,
  type KeyId,
  type LimitId,
  type RaiseId,
  type TeamId,
} from './ids.ts';
import {
  type Grant,
  type Limit,
  type Meter,
  ORGANIZATION_ID,
  type Raise,
  type SubjectType,
  subjectIdOf,
} from './limit.ts';
import { includesModel } from './price.ts';
import { type Claim, used } from './quantities.ts';
import { type TagText, tagNamed } from './tags.ts';
import { bucketRange, type OpenTimeRange, windowRange } from './window.ts';

/** The part of a counter's id that names the anchor of a rolling window instead of a window's start. */
const ANCHOR = 'head';
const WINDOW_IN_ID = /@(\d+)/;
/** Follows the window's start in the id of a raise's counter, before the raise. */
const RAISE = '+';

/**
 * The id of a counter: `<limit or grant id>@<window start in ms>`, for a raise with `+<its id>`, for end users and tags with
 * `/<name>`; plain enough to stand in JSON as it is. Making it twice makes one counter. Only this file knows its parts.
 * @param part the end user or the tag that it counts; null where its limit or grant counts one subject
 */
function counterId(
  sourceId: LimitId | GrantId,
  window: number | typeof ANCHOR,
  part: string | null,
): CounterId {
  return asId(`${sourceId}@${window}${part === null ? '' : `/${encodeURIComponent(part)}`}`);
}

/** The limit or grant that a counter's id names; of a raise, its limit. */
export function sourceIdOf(counterId: string): LimitId | GrantId {
  return asId(counterId.slice(0, counterId.indexOf('@')));
}

/** What a counter counts for. */
export const COUNTER_SOURCES = ['limit', 'grant', 'raise'] as const;
export type CounterSource = (typeof COUNTER_SOURCES)[number];

/** What names a counter and what makes it when it does not exist yet. */
export interface CounterSpec {
  id: CounterId;
  /** Under which team it is kept; `ORGANIZATION_ID` for what counts several teams. */
  teamId: TeamId;
  source: CounterSource;
  sourceId: LimitId | GrantId | RaiseId;
  /** That of the limit or grant; missing or null: it has none. */
  name?: string | null;
  subjectType: SubjectType;
  subjectId: string;
  meter: Meter;
  /** Null: all models. */
  models: string[] | null;
  startsAtMs: number;
  /** Null: the window never ends. For grants, the expiry. */
  endsAtMs: number | null;
  /** The length of a rolling window, of which the counter is one sub-bucket; null: its span is the whole window. */
  rollingMs: number | null;
  amount: bigint;
}

export function grantCounter(grant: Grant): CounterSpec {
  return {
    id: counterId(grant.id, grant.startsAtMs, null),
    teamId: grant.teamId,
    source: 'grant',
    sourceId: grant.id,
    name: grant.name,
    subjectType: 'team',
    subjectId: grant.teamId,
    meter: 'cost_usd',
    models: null,
    startsAtMs: grant.startsAtMs,
    endsAtMs: grant.expiresAtMs,
    rollingMs: null,
    amount: grant.amount,
  };
}

/** Which of its subjects a limit counts a call for: an end user, or a tag as text; null: it counts one subject. */
export function partOf({ subject }: Pick<Limit, 'subject'>, { endUser, tags }: CallSubjects): string | null {
  if (subject.type === 'user') return (endUser ?? '').toWellFormed();
  return subject.type === 'tag' ? (subjectPart(subject) ?? tagNamed(tags ?? null, subject.name)) : null;
}

function subjectPart(subject: Limit['subject']): string | null {
  return subject.type === 'tag' && subject.value !== null ? subjectIdOf(subject) : null;
}

/** Whom a call is for, beside its team and key. */
export interface CallSubjects {
  endUser: string | null;
  /** As texts, in the order of their names; missing or null: none. */
  tags?: readonly TagText[] | null;
}

/** Of a limit that counts one subject, or when none of its subjects is meant. */
export const NO_SUBJECTS: CallSubjects = { endUser: null, tags: null };

/** The counter of a limit for a call of this team, end user and tags at a moment. */
export function limitCounter(
  limit: Limit,
  callersTeamId: TeamId,
  call: CallSubjects,
  atMs: number,
): CounterSpec {
  const { subject } = limit;
  const range = rangeOf(limit, atMs);
  const part = partOf(limit, call);
  return {
    id: counterId(limit.id, range.startMs, part),
    teamId: isOfSeveralTeams(limit) ? ORGANIZATION_ID : callersTeamId,
    source: 'limit',
    sourceId: limit.id,
    name: limit.name,
    subjectType: subject.type,
    subjectId: subject.type === 'org' ? ORGANIZATION_ID : (part ?? subjectIdOf(subject) ?? ''),
    meter: limit.meter,
    models: limit.models,
    startsAtMs: range.startMs,
    endsAtMs: range.endMs,
    rollingMs: rollingMsOf(limit),
    amount: limit.amount,
  };
}

/** The counter of a raise of a limit, beside that which the limit itself has of the same call. */
export function raiseCounter(ofLimit: CounterSpec, { id, amount, startsAtMs, untilMs }: Raise): CounterSpec {
  return {
    ...ofLimit,
    id: asId(ofLimit.id.replace(WINDOW_IN_ID, `@${startsAtMs}${RAISE}${id}`)),
    source: 'raise',
    sourceId: id,
    startsAtMs,
    endsAtMs: untilMs,
    amount,
  };
}

/** Whether a limit counts calls of several teams together. Each value of a tag counts within its team, also by a limit of all teams. */
export function isOfSeveralTeams({ subject, teamId }: Limit): boolean {
  if (subject.type === 'org' || subject.type === 'department') return true;
  return subject.type === 'tag' && subject.value !== null && teamId === ORGANIZATION_ID;
}

/** Whether a counter is of one of many end users or tags. */
export function isPart(subjectType: SubjectType): boolean {
  return subjectType === 'user' || subjectType === 'tag';
}

/** Slots have no past: a limit of concurrency counts what runs now, whatever its window says. */
function rollingMsOf({ meter, window }: Pick<Limit, 'meter' | 'window'>): number | null {
  return window.type === 'rolling' && meter !== 'concurrency' ? window.seconds * 1000 : null;
}

/** The time range of the counter that a limit needs at a moment: that of its window, from its last reset on. */
export function rangeOf(limit: Pick<Limit, 'meter' | 'window' | 'resetAtMs'>, atMs: number): OpenTimeRange {
  const rollingMs = rollingMsOf(limit);
  if (rollingMs !== null) return bucketRange(rollingMs, atMs);
  if (limit.meter === 'concurrency' || limit.window.type === 'rolling') return { startMs: 0, endMs: null };
  const range = windowRange(limit.window, atMs);
  const { resetAtMs } = limit;
  if (resetAtMs === null || resetAtMs > atMs || resetAtMs <= range.startMs) return range;
  return { startMs: resetAtMs, endMs: range.endMs };
}

/**
 * The counter that stands for what a rolling limit had counted when its first bucket was made. Who fills a bucket
 * locks it first, so that no two do at once.
 */
export function windowAnchorId({ id, subjectType, subjectId }: CounterSpec): CounterId {
  return counterId(sourceIdOf(id), ANCHOR, isPart(subjectType) ? subjectId : null);
}

/** Returns the id of the anchor of the rolling window of which this counter may be a bucket. */
export function anchorIdOf(counterId: CounterId): CounterId {
  return asId(counterId.replace(WINDOW_IN_ID, `@${ANCHOR}`));
}

/**
 * Whether a call that did not hold on a counter held on another one of the same limit: before a reset that its instance had not
 * heard of, or on a raise. It counts there alone. An anchor stands beside its buckets.
 */
export function isHeldBeside(
  counterId: CounterId,
  allocations: readonly { readonly counterId: CounterId }[],
): boolean {
  if (windowStartOf(counterId) === null) return false;
  const limitId = sourceIdOf(counterId);
  return allocations.some((part) => part.counterId !== counterId && sourceIdOf(part.counterId) === limitId);
}

/** Returns when the window of a counter begins, in milliseconds since the epoch; null: it is an anchor. */
export function windowStartOf(counterId: CounterId): number | null {
  const [, start] = WINDOW_IN_ID.exec(counterId) ?? [];
  return start === undefined ? null : Number(start);
}

/** The same text for the counters of a rule and subject in all windows. */
export function ruleKey({ sourceId, subjectType, subjectId }: CounterSpec): string {
  return isPart(subjectType) ? `${sourceId}/${encodeURIComponent(subjectId)}` : sourceId;
}

/** A call as far as counters tell calls apart. */
export interface CountedCall extends CallSubjects {
  teamId: TeamId;
  keyId: KeyId;
  /** The department of its team when it was admitted, then the one above, …; empty: none. */
  departments: readonly DepartmentId[];
  model: string;
  createdAtMs: number;
}

/** How much of a call that was not held on it a counter counts all the same: a limit counts its whole window. */
export function counted(
  counter: Omit<CounterSpec, 'id' | 'sourceId' | 'amount' | 'rollingMs'>,
  call: CountedCall & { claim: Claim },
): bigint {
  const { source, subjectType, subjectId, teamId, models, startsAtMs, endsAtMs } = counter;
  const counts =
    source === 'limit' &&
    (teamId === call.teamId || teamId === ORGANIZATION_ID) &&
    (subjectType === 'department' ? call.departments.includes(asId(subjectId)) : true) &&
    (subjectType === 'key' ? subjectId === call.keyId : true) &&
    (subjectType === 'user' ? subjectId === call.endUser : true) &&
    (subjectType === 'tag' ? call.tags?.includes(subjectId) === true : true) &&
    startsAtMs <= call.createdAtMs &&
    (endsAtMs === null || call.createdAtMs < endsAtMs) &&
    includesModel(models, call.model);
  return counts ? used(counter.meter, call.claim) : 0n;
}
