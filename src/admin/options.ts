/** Options of the admin API. */
import type { AccessLog } from '../auth/access-log.ts';
import type { ClientAddresses } from '../auth/addresses.ts';
import type { OidcClient } from '../auth/oidc.ts';
import type { Sealer } from '../auth/seal.ts';
import type { Sessions } from '../auth/sessions.ts';
import type { Vault } from '../auth/vault.ts';
import type { Database } from '../store/database.ts';
import type { UpstreamReading } from '../upstreams/health.ts';
import type { UpstreamProfile } from '../upstreams/profile.ts';
import type { LimitTrust } from '../upstreams/trust.ts';

export interface AdminOptions {
  database: Database;
  /** The upstream's profile, and whether it keeps output limits (null: it does); missing: OpenAI's. */
  upstream?: { profile: UpstreamProfile; trust: LimitTrust | null };
  /** Several upstreams, as this instance sees them; missing: there is one. */
  upstreams?: (() => readonly UpstreamReading[]) | undefined;
  /** Which upstreams of the file are reconciled; missing: none. */
  reconciliation?: (() => { isOn: boolean; without: string[] }) | undefined;
  /** Encrypts secrets; missing: no master key is set. */
  vault?: Vault | null;
  adminKey: string;
  /** Sessions of the console. */
  sessions: Sessions;
  /** By which people sign in; null: there is no identity provider. Missing: the same. */
  oidc?: OidcClient | null;
  /** Whose requests come from where. */
  addresses: ClientAddresses;
  /** Where failures and exports are noted, for the audit log. */
  accessLog: AccessLog;
  /** Milliseconds since the epoch, on Postgres's clock. */
  nowMs: () => number;
  /** Writes what this instance has in memory to the ledger; called before a route reads the ledger. */
  settleNow: () => Promise<void>;
  /** Seals what calls say, of teams that keep it; null: there is no key, so none may. Missing: the same. */
  sealer?: Sealer | null;
  /** The plan of a new team that names none; null: such a team gets no plan. */
  defaultPlan: string | null;
  /** Called with errors that the request did not cause. */
  onError?: (error: unknown) => void;
}
