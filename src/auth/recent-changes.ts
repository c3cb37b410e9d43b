/**
 * What admins changed of late, as this instance heard of it. Owns: naming the changes that a database has forgotten when it
 * went back; a revoked key may be valid again there, and nothing in the database says so. Does not own: making them again.
 */

/** A change of a key, a limit, a grant or anything else in the audit log. */
export interface AuditedChange {
  id: string;
  at: Date;
  actor: string;
  action: string;
  resource: string;
  resourceId: string;
  teamId: string | null;
}

export interface RecentChangesOptions {
  /** Reads the latest changes, newest first. */
  read(): Promise<AuditedChange[]>;
  /** The database has forgotten a change. */
  onLost(change: AuditedChange): void;
}

export class RecentChanges {
  readonly #options: RecentChangesOptions;
  #known = new Map<string, AuditedChange>();

  constructor(options: RecentChangesOptions) {
    this.#options = options;
  }

  /**
   * To be called whenever the catalog has changed, also back to an older state. An entry is never deleted while later ones
   * stay: one that is missing was forgotten. Rejects when the changes cannot be read.
   */
  async read(): Promise<void> {
    const rows = await this.#options.read();
    const found = new Map(rows.map((row) => [row.id, row]));
    // What is older was not read: it is not lost.
    const since = rows.at(-1)?.at ?? new Date(0);
    for (const change of this.#known.values())
      if (!found.has(change.id) && change.at >= since) this.#options.onLost(change);
    this.#known = found;
  }
}
