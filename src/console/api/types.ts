/** The responses of the API as types, from the schemas of the contract; the schemas are not part of the bundle. */
import type { z } from 'zod';
import type * as contract from '../../admin/contract.ts';

type ApiResponse<Schema extends z.ZodType> = z.output<Schema>;

export type ApiErrors = ApiResponse<typeof contract.ApiErrors>;
export type Archive = ApiResponse<typeof contract.Archive>;
export type AuditEntry = ApiResponse<typeof contract.AuditEntry>;
export type Balance = ApiResponse<typeof contract.Balance>;
export type BulkRelease = ApiResponse<typeof contract.BulkRelease>;
export type CallContent = ApiResponse<typeof contract.CallContent>;
export type Department = ApiResponse<typeof contract.Department>;
export type Estimate = ApiResponse<typeof contract.Estimate>;
export type Event = ApiResponse<typeof contract.Event>;
export type Grant = ApiResponse<typeof contract.Grant>;
export type Recipient = ApiResponse<typeof contract.Recipient>;
export type ModelReport = ApiResponse<typeof contract.ModelReport>;
export type Notice = ApiResponse<typeof contract.Notice>;
export type Label = ApiResponse<typeof contract.Label>;
export type Job = ApiResponse<typeof contract.Job>;
export type Key = ApiResponse<typeof contract.Key>;
export type LimitPreview = ApiResponse<typeof contract.LimitPreview>;
export type MadeKey = ApiResponse<typeof contract.MadeKey>;
export type NewLimit = z.input<typeof contract.NewLimit>;
export type MadeToken = ApiResponse<typeof contract.MadeToken>;
export type OpenSession = ApiResponse<typeof contract.OpenSession>;
export type Operations = ApiResponse<typeof contract.Operations>;
export type Overview = ApiResponse<typeof contract.Overview>;
export type OverviewTeam = Overview['teams'][number];
export type Person = ApiResponse<typeof contract.Person>;
export type Plan = ApiResponse<typeof contract.Plan>;
export type Price = ApiResponse<typeof contract.Price>;
export type RoleMapping = ApiResponse<typeof contract.RoleMapping>;
export type GivenRole = Person['roles'][number];
export type ServiceToken = ApiResponse<typeof contract.ServiceToken>;
export type DayDifference = ApiResponse<typeof contract.DayDifference>;
export type ReconciledDay = ApiResponse<typeof contract.ReconciledDay>;
export type Reconciliation = ApiResponse<typeof contract.Reconciliation>;
export type Savings = ApiResponse<typeof contract.Savings>;
export type Session = ApiResponse<typeof contract.Session>;
export type StoreState = ApiResponse<typeof contract.StoreState>;
export type Tag = ApiResponse<typeof contract.Tag>;
export type Team = ApiResponse<typeof contract.Team>;
export type Upstream = ApiResponse<typeof contract.UpstreamList>['data'][number];
export type Usage = ApiResponse<typeof contract.Usage>;
export type UsageRow = Usage['data'][number];
export type Warning = ApiResponse<typeof contract.Warning>;
export type WholeEvent = ApiResponse<typeof contract.WholeEvent>;
export type Limit = ApiResponse<typeof contract.ListedLimit>;
export type Window = Limit['window'];

/** A page of a list. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
}
