/**
 * The administrator of a simulation: makes and changes limits and grants while calls run, for the store and the judge.
 */
import { type Account, inSpendingOrder } from '../../src/domain/budget.ts';
import { grantCounter } from '../../src/domain/counter.ts';
import { asId, type RaiseId } from '../../src/domain/ids.ts';
import { type Grant, type Limit, ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { accountOf } from '../support/accounts.ts';
import { FIRST_DEPARTMENTS, pathOf } from './departments.ts';
import type { CallRecord } from './judge/calls.ts';
import type { Judge } from './judge/judge.ts';
import type { MemoryStore } from './memory-store.ts';

/** A key and its team, as a simulation begins with them. */
export interface SimKey {
  keyId: string;
  teamId: string;
}

export class SimAdmin {
  readonly #memory: MemoryStore;
  readonly #judge: Judge;
  readonly #keys: readonly SimKey[];
  readonly #limits = new Map<string, Limit>();
  readonly #grants: Grant[] = [];
  readonly #departments = new Map<string, string | null>(Object.entries(FIRST_DEPARTMENTS));
  #changedTeams: { version: number; teamId: string; areRules: boolean }[] = [];
  /** By key; a change makes new ones. */
  accounts = new Map<string, Account>();

  constructor(memory: MemoryStore, judge: Judge, keys: readonly SimKey[]) {
    this.#memory = memory;
    this.#judge = judge;
    this.#keys = keys;
    this.#publish(null);
  }

  get version(): number {
    return this.#judge.rules.version;
  }

  get limits(): Limit[] {
    return [...this.#limits.values()];
  }

  /** Teams whose accounts are to be read again after a version; `rules`: those alone whose own limits or grants changed. */
  changedSince(version: number, what: 'all' | 'rules'): Set<string> {
    const changes = this.#changedTeams.filter(
      (change) => change.version > version && (what === 'all' || change.areRules),
    );
    return new Set(changes.map(({ teamId }) => teamId));
  }

  /** Corrects the charges of calls of unknown outcome by what the upstream billed. */
  correct(calls: readonly CallRecord[]): void {
    this.#judge.rules.version++;
    for (const call of calls) {
      this.#memory.release(call.id, call.bill!.cost);
      this.#judge.corrected(call);
      this.#changedTeams.push({ version: this.version, teamId: call.teamId, areRules: false });
    }
  }

  /** Charges nothing for calls of unknown outcome of which there was no evidence for so long. */
  releaseByPolicy(afterMs: number): number {
    const released = this.#memory.releaseBefore(this.#judge.nowMs() - afterMs);
    if (released.length > 0) this.#judge.rules.version++;
    for (const id of released) {
      const call = this.#judge.calls.get(id)!;
      this.#judge.released(call, afterMs);
      this.#changedTeams.push({ version: this.version, teamId: call.teamId, areRules: false });
    }
    return released.length;
  }

  makeLimit(limit: Limit): void {
    this.#limits.set(limit.id, limit);
    this.#memory.setAmount(limit.id, limit.amount);
    this.#judge.addLimit(limit);
    this.#publish(limit);
  }

  changeLimit(id: string, amount: bigint): void {
    const limit = { ...this.#limits.get(id)!, amount };
    this.#limits.set(id, limit);
    this.#memory.setAmount(id, amount);
    this.#judge.rules.changeLimit(id, amount);
    this.#publish(limit);
  }

  deleteLimit(id: string): void {
    const limit = this.#limits.get(id)!;
    this.#limits.delete(id);
    this.#judge.rules.changeLimit(id, null);
    this.#publish(limit);
  }

  /** How much of a limit is out in its present window, in percent of its amount; null: nothing of it was ever lent there. */
  usedOf({ id }: Limit, nowMs: number): number | null {
    let most: number | null = null;
    for (const { spec, amount, settled, held, leased } of this.#memory.counters.values()) {
      if (spec.sourceId !== id || spec.startsAtMs >= nowMs) continue;
      if (spec.endsAtMs !== null && spec.endsAtMs <= nowMs) continue;
      most = Math.max(most ?? 0, Number(((settled + held + leased) * 100n) / (amount || 1n)));
    }
    return most;
  }

  /** Lets the present window of a limit count from now on. */
  resetLimit(id: string, atMs: number): void {
    const limit = { ...this.#limits.get(id)!, resetAtMs: atMs };
    this.#limits.set(id, limit);
    this.#memory.endCounters(id, atMs);
    this.#judge.rules.resetLimit(id, atMs);
    this.#publish(limit);
  }

  /** Raises a limit for some time. */
  raiseLimit(id: string, amount: bigint, startsAtMs: number, lastsMs: number): void {
    const raise = {
      id: asId<RaiseId>(`raise-${this.version}`),
      amount,
      startsAtMs,
      untilMs: startsAtMs + lastsMs,
    } as const;
    const before = this.#limits.get(id)!;
    const limit = { ...before, raises: [...before.raises, raise] };
    this.#limits.set(id, limit);
    this.#memory.setAmount(raise.id, amount);
    this.#judge.rules.raiseLimit(id, raise);
    this.#publish(limit);
  }

  departmentOf(teamId: string): string | null {
    return this.#departments.get(teamId) ?? null;
  }

  moveTeam(teamId: string, department: string | null): void {
    this.#departments.set(teamId, department);
    this.#judge.rules.moveTeam(teamId, department);
    this.#publishTeams([teamId], false);
  }

  makeGrant(grant: Grant): void {
    this.#grants.push(grant);
    this.#memory.makeGrant(grantCounter(grant));
    this.#judge.rules.addGrant(grant);
    this.#publish(grant);
  }

  /** Makes the accounts anew whose rules changed; null: all, for the first time. */
  #publish(changed: Limit | Grant | null): void {
    const areRules = changed === null || !isOfDepartment(changed);
    this.#publishTeams(changed === null ? null : this.#teamsOf(changed), areRules);
  }

  /** Makes the accounts of these teams anew; null: all, for the first time. `areRules`: limits or grants of their own changed. */
  #publishTeams(changed: readonly string[] | null, areRules: boolean): void {
    const teams = changed ?? [''];
    for (const teamId of teams) this.#changedTeams.push({ version: this.version, teamId, areRules });
    const accounts = new Map(this.accounts);
    for (const { keyId, teamId } of this.#keys) {
      if (changed !== null && !teams.includes(teamId) && !teams.includes(ORGANIZATION_ID)) continue;
      const grants = inSpendingOrder(this.#grants.filter((grant) => grant.teamId === teamId));
      const path = pathOf(this.departmentOf(teamId));
      const limits = this.limits.filter((limit) => binds(limit, teamId, keyId, path));
      const departments = path.length === 0 ? null : `{${path.join()}}`;
      accounts.set(keyId, accountOf({ keyId, teamId, grants, limits, departments }));
    }
    this.accounts = accounts;
  }

  /** Like Postgres: a department's limit concerns the teams below it. */
  #teamsOf(changed: Limit | Grant): string[] {
    if (!isOfDepartment(changed)) return [changed.teamId];
    const { id } = changed.subject;
    return this.#keys.map((key) => key.teamId).filter((team) => pathOf(this.departmentOf(team)).includes(id));
  }
}

type OfDepartment = Limit & { subject: Extract<Limit['subject'], { type: 'department' }> };

function isOfDepartment(changed: Limit | Grant): changed is OfDepartment {
  return 'subject' in changed && changed.subject.type === 'department';
}

function binds(
  { teamId: team, subject }: Limit,
  teamId: string,
  keyId: string,
  path: readonly string[],
): boolean {
  if (subject.type === 'org') return true;
  if (subject.type === 'department') return path.includes(subject.id);
  if (subject.type === 'tag' && team === ORGANIZATION_ID) return true;
  return team === teamId && (subject.type !== 'key' || subject.id === keyId);
}
