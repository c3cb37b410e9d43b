/** The API's answers as types: the contract's schemas, which are not part of the bundle. */
import type { z } from 'zod';
import type * as contract from '../../admin/contract.ts';

type Answer<Schema extends z.ZodType> = z.output<Schema>;

export type ApiErrors = Answer<typeof contract.ApiErrors>;
export type AuditEntry = Answer<typeof contract.AuditEntry>;
export type Balance = Answer<typeof contract.Balance>;
export type Event = Answer<typeof contract.Event>;
export type Grant = Answer<typeof contract.Grant>;
export type Key = Answer<typeof contract.Key>;
export type LimitPreview = Answer<typeof contract.LimitPreview>;
export type MadeKey = Answer<typeof contract.MadeKey>;
export type NewLimit = z.input<typeof contract.NewLimit>;
export type Overview = Answer<typeof contract.Overview>;
export type OverviewTeam = Overview['teams'][number];
export type Plan = Answer<typeof contract.Plan>;
export type Price = Answer<typeof contract.Price>;
export type Session = Answer<typeof contract.Session>;
export type Team = Answer<typeof contract.Team>;
export type Usage = Answer<typeof contract.Usage>;
export type UsageRow = Usage['data'][number];
export type Warning = Answer<typeof contract.Warning>;
export type WholeEvent = Answer<typeof contract.WholeEvent>;
export type Limit = Answer<typeof contract.ListedLimit>;
export type Window = Limit['window'];

/** A page of a list. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
}
