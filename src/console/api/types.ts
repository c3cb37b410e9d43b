/** The API's answers as types: the contract's schemas, which are not part of the bundle. */
import type { z } from 'zod';
import type * as contract from '../../admin/contract.ts';

type Answer<Schema extends z.ZodType> = z.output<Schema>;

export type AuditEntry = Answer<typeof contract.AuditEntry>;
export type Balance = Answer<typeof contract.Balance>;
export type Event = Answer<typeof contract.Event>;
export type Grant = Answer<typeof contract.Grant>;
export type Key = Answer<typeof contract.Key>;
export type MadeKey = Answer<typeof contract.MadeKey>;
export type NewLimit = z.input<typeof contract.NewLimit>;
export type Overview = Answer<typeof contract.Overview>;
export type OverviewTeam = Overview['teams'][number];
export type Plan = Answer<typeof contract.Plan>;
export type Price = Answer<typeof contract.Price>;
export type Refusals = Answer<typeof contract.Refusals>;
export type Session = Answer<typeof contract.Session>;
export type Team = Answer<typeof contract.Team>;
export type Usage = Answer<typeof contract.Usage>;
export type UsageRow = Usage['data'][number];
export type WholeEvent = Answer<typeof contract.WholeEvent>;
export type LimitState = Balance['limits'][number];
export type Limit = Answer<typeof contract.Limit> &
  Partial<Pick<LimitState, 'settled' | 'held' | 'remaining' | 'window_starts_at' | 'resets_at'>>;
export type Window = Limit['window'];

/** A page of a list. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
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
