/** The API's answers as types: the contract's schemas, which are not part of the bundle. */
import type { z } from 'zod';
import type * as contract from '../../admin/contract.ts';

type Answer<Schema extends z.ZodType> = z.output<Schema>;

export type Balance = Answer<typeof contract.Balance>;
export type Event = Answer<typeof contract.Event> & { team_name?: string; key_name?: string };
export type Grant = Answer<typeof contract.Grant> & { team_name?: string };
export type Key = Answer<typeof contract.Key> & { team_name?: string };
export type MadeKey = Answer<typeof contract.MadeKey>;
export type Plan = Answer<typeof contract.Plan>;
export type Price = Answer<typeof contract.Price>;
export type Team = Answer<typeof contract.Team>;
export type LimitState = Balance['limits'][number];
export type Limit = Answer<typeof contract.Limit> & {
  team_name?: string;
  subject_name?: string | null;
} & Partial<Pick<LimitState, 'settled' | 'held' | 'remaining' | 'window_starts_at' | 'resets_at'>>;
export type Window = Limit['window'];
export type NewLimit = z.input<typeof contract.NewLimit>;

type UsageAnswer = Answer<typeof contract.Usage>;
export type UsageRow = UsageAnswer['data'][number] & { team_name?: string; key_name?: string };
export interface Usage extends Omit<UsageAnswer, 'data'> {
  data: UsageRow[];
}

/** A page of a list. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
}

export interface Session {
  role: 'admin' | 'team';
  team: { id: string; name: string } | null;
  key: { id: string; name: string } | null;
  csrf: string;
  expires_at: string;
}

export interface OverviewTeam {
  id: string;
  name: string;
  spent_month_usd: string;
  remaining_usd: string | null;
  exhausts_at: string | null;
  tightest: { source: 'limit' | 'grant'; id: string; used_ratio: number; resets_at: string | null } | null;
}

export interface Overview {
  month_to_date_usd: string;
  previous_month_usd: string;
  today_usd: string;
  forecast_month_usd: string;
  remaining_usd: string | null;
  unknown_usd: string;
  calls_today: number;
  refused_today: number;
  exhausts_at: string | null;
  teams: OverviewTeam[];
}

export interface Refusals {
  data: { starts_at: string | null; team_id?: string; team_name?: string; reason?: string; count: number }[];
}

export interface LimitPreview {
  window_starts_at: string | null;
  resets_at: string | null;
  used: string;
  amount: string;
  remaining: string;
  refused_calls_today: number;
  calls_today: number;
  first_refused_at: string | null;
}

export interface EventDetail extends Event {
  allocations: {
    counter_id: string;
    limit_id?: string | null;
    grant_id?: string | null;
    source: string;
    held: string;
    settled: string;
  }[];
  adjustments: { id: string; delta_usd: string; reason: string; actor: string; created_at: string }[];
}

export interface AuditEntry {
  id: string;
  at: string;
  actor: string;
  action: string;
  noun: string;
  noun_id: string;
  team_id: string | null;
  team_name?: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}
