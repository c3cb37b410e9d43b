/**
 * Limits, grants and counters: the nouns of a budget. A limit is the rule, a grant is prepaid credit, a counter is
 * the state of one of them for one subject and window.
 */
import {
  asId,
  type DepartmentId,
  type GrantId,
  type KeyId,
  type LimitId,
  type RaiseId,
  type TeamId,
} from './ids.ts';
import type { PicoUsd } from './money.ts';
import { parseTag, tagText } from './tags.ts';
import type { Window } from './window.ts';

export const METERS = [
  'cost_usd',
  'tokens',
  'input_tokens',
  'output_tokens',
  'requests',
  'concurrency',
] as const;
export type Meter = (typeof METERS)[number];

export const ENFORCEMENTS = ['strict', 'soft'] as const;
export type Enforcement = (typeof ENFORCEMENTS)[number];

/** What a limit does where it would deny a call, because its amount is used up or its rate is reached. Times are seconds. */
export type OnExhausted =
  /** The call waits so long, at most, for a new window, more money, or its turn. */
  | { action: 'wait'; maxSeconds: number }
  /** From this part of the amount on calls come at a rate, over all instances; at its end they are denied. */
  | { action: 'slow_down'; callsPerMinute: number; fromPercent: number }
  /** The call is made with the first of these models that the budgets allow. */
  | { action: 'cheaper_model'; models: string[] };

/** What became of a call instead of a denial, as its event has it. */
export interface Instead {
  action: OnExhausted['action'];
  limit_id: LimitId;
  /** How long it waited; missing: it did not. */
  seconds?: number;
  /** The model that was asked for, where another one was called. */
  instead_of?: string;
}

/** The same as a header of the response: `waited=3.2; limit=…`, or `model=gpt-5-mini; instead_of=gpt-5; limit=…`. */
export function insteadText({ action, limit_id, seconds = 0, instead_of }: Instead, model: string): string {
  const what =
    action === 'cheaper_model'
      ? `model=${model}; instead_of=${instead_of}`
      : `${action === 'wait' ? 'waited' : 'slowed'}=${seconds}`;
  return `${what}; limit=${limit_id}`;
}

export type Subject =
  | { type: 'org' }
  /** All teams in it and in the departments below it. */
  | { type: 'department'; id: DepartmentId }
  | { type: 'team'; id: TeamId }
  | { type: 'key'; id: KeyId }
  /** An end user of a team, by the name that the application gives; null: each one, for itself. */
  | { type: 'user'; id: string | null }
  /** A tag of calls; `value` null: each value, for itself. */
  | { type: 'tag'; name: string; value: string | null };

export const SUBJECT_TYPES = [
  'org',
  'department',
  'team',
  'key',
  'user',
  'tag',
] as const satisfies Subject['type'][];
export type SubjectType = Subject['type'];

/** A department of the lowest level stands in so many, itself counted. */
export const DEPARTMENT_LEVELS_MAX = 5;

/** Reads a subject of a row; `id` null: of a team's limit the team itself, of end users each one. */
export function subjectOf(type: SubjectType, id: string | null, teamId: TeamId): Subject {
  if (type === 'org') return { type };
  if (type === 'user') return { type, id };
  if (type === 'department') return { type, id: asId(id ?? '') };
  if (type === 'tag') return { type, ...parseTag(id ?? '') };
  return type === 'key' ? { type, id: asId(id ?? '') } : { type, id: id === null ? teamId : asId(id) };
}

/** The same as it stands in a row, beside the type. */
export function subjectIdOf(subject: Subject): string | null {
  if (subject.type === 'org') return null;
  if (subject.type !== 'tag') return subject.id;
  return subject.value === null ? subject.name : tagText(subject.name, subject.value);
}

/** Whether a limit counts many subjects, each for itself: then it has no sum of its own. */
export function countsApart(subject: Subject): boolean {
  return subject.type === 'user' || (subject.type === 'tag' && subject.value === null);
}

/** The team id under which stands what belongs to the whole installation. No team ever has it. */
export const ORGANIZATION_ID: TeamId = asId('00000000-0000-0000-0000-000000000000');

export interface Limit {
  id: LimitId;
  /** Null: it has none. */
  name: string | null;
  /** Whose it is; `ORGANIZATION_ID` for limits of the whole installation, of departments, and of the end users of every team. */
  teamId: TeamId;
  subject: Subject;
  /** Null: all models. */
  models: string[] | null;
  meter: Meter;
  /** Pico-USD for `cost_usd`; of any other meter whole units times 10^12 (see `UNIT`). */
  amount: bigint;
  window: Window;
  enforcement: Enforcement;
  /** The most that a single call may hold; null: as much as is left. */
  maxHold: bigint | null;
  /** Of cost: above so much charged for calls of unknown outcome, calls go one at a time; null: as domain/unknown.ts says. */
  maxUnknown: PicoUsd | null;
  /** From this moment on its window counts again from nothing, milliseconds since the epoch; null: it was never reset. */
  resetAtMs: number | null;
  /** Null: it denies. */
  onExhausted: OnExhausted | null;
  /** Those that have not ended, oldest first. */
  raises: readonly Raise[];
}

/** More of a limit for some time: it pays for what the limit's own amount does not. */
export interface Raise {
  id: RaiseId;
  amount: bigint;
  startsAtMs: number;
  untilMs: number;
}

export interface Grant {
  id: GrantId;
  /** Null: it has none. */
  name: string | null;
  teamId: TeamId;
  amount: PicoUsd;
  startsAtMs: number;
  /** Null: it never expires. */
  expiresAtMs: number | null;
  /** Above this much charged for calls of unknown outcome they go one at a time; null: a tenth of the amount. */
  maxUnknown: PicoUsd | null;
}

/** Who called: the outcome of authentication. */
export interface Principal {
  teamId: TeamId;
  teamName: string;
  keyId: KeyId;
  /** Models that this key may use; null: all. A name allows its snapshots too. */
  models: string[] | null;
  /** Models that its team may use; null: all. A model must be in both lists. */
  teamModels: string[] | null;
}
