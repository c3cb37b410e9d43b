/** The rules as an administrator made them, version by version, and the judge's tallies of each. */
import { type Grant, type Limit, ORGANIZATION_ID, type Raise } from '../../../src/domain/limit.ts';
import { FIRST_DEPARTMENTS, pathOf } from '../departments.ts';
import { measure } from './amounts.ts';
import type { CallFacts, CallRecord } from './calls.ts';
import { type CreditRule, type LimitRule, newTally, type Rule, type Tally } from './tally.ts';
import { windowName } from './windows.ts';

/** The tally over the whole life of a credit, beside those of its stretches. */
export const WHOLE = 'whole';

export class RuleBook {
  /** Grows with every change. */
  version = 0;
  readonly limits = new Map<string, LimitRule>();
  readonly credits = new Map<string, CreditRule>();
  /** By the id of the raise. */
  readonly raises = new Map<string, { rule: LimitRule; raise: Raise }>();
  /** The departments in which each team that moved was, oldest first. */
  readonly #paths = new Map<string, { version: number; path: readonly string[] }[]>();
  readonly #tallies = new Map<string, Tally>();

  addLimit(limit: Limit): LimitRule {
    this.version++;
    const rule: LimitRule = {
      kind: 'limit',
      limit,
      terms: [{ version: this.version, amount: limit.amount }],
      resets: [],
      raises: [],
      byQuarter: new Map(),
    };
    this.limits.set(limit.id, rule);
    return rule;
  }

  /** A new amount; null: the limit is deleted. */
  changeLimit(id: string, amount: bigint | null): void {
    this.version++;
    this.limits.get(id)!.terms.push({ version: this.version, amount });
  }

  resetLimit(id: string, atMs: number): void {
    this.version++;
    this.limits.get(id)!.resets.push({ version: this.version, atMs });
  }

  raiseLimit(id: string, raise: Raise): void {
    this.version++;
    const rule = this.limits.get(id)!;
    rule.raises.push({ version: this.version, raise });
    this.raises.set(raise.id, { rule, raise });
  }

  moveTeam(teamId: string, department: string | null): void {
    this.version++;
    const paths = this.#paths.get(teamId) ?? [{ version: 0, path: firstPathOf(teamId) }];
    paths.push({ version: this.version, path: pathOf(department) });
    this.#paths.set(teamId, paths);
  }

  /** Returns the departments in which a process may count a team that knows `version` or a later one. */
  pathsSince(teamId: string, version: number): (readonly string[])[] {
    const paths: (readonly string[])[] = [];
    for (const each of this.#paths.get(teamId) ?? [{ version: 0, path: firstPathOf(teamId) }]) {
      if (each.version <= version) paths.length = 0;
      paths.push(each.path);
    }
    return paths;
  }

  addGrant(grant: Grant): void {
    this.version++;
    const { teamId, startsAtMs, expiresAtMs } = grant;
    const credit = this.credits.get(teamId) ?? { kind: 'credit', teamId, grants: [], bounds: [0] };
    this.credits.set(teamId, credit);
    credit.grants.push({ grant, version: this.version });
    const bounds = new Set([...credit.bounds, startsAtMs, ...(expiresAtMs === null ? [] : [expiresAtMs])]);
    credit.bounds = [...bounds].sort((a, b) => a - b);
  }

  /** The tallies that a call belongs to, by the rules as they are now. */
  talliesOf(call: Omit<CallFacts, 'id'>): Tally[] {
    const tallies: Tally[] = [];
    for (const rule of this.limits.values())
      if (counts(rule, call)) tallies.push(this.tallyAt(rule, call.atMs, tagValueOf(rule, call)));
    const credit = this.credits.get(call.teamId);
    if (credit) tallies.push(this.whole(credit), this.#tally(credit, String(stretchOf(credit, call.atMs))));
    return tallies;
  }

  /**
   * @param value of the tag of which a limit counts each value; empty: it counts one subject
   * @param resets those that are known
   */
  tallyAt(rule: LimitRule, atMs: number, value: string, resets = rule.resets): Tally {
    // Every zone's midnight is the start of a quarter of an hour, so a quarter lies in one window.
    const quarter = Math.floor(atMs / 900_000);
    const last = resets.findLast((reset) => reset.atMs <= atMs);
    const key = `${quarter} ${last?.atMs} ${value}`;
    let tally = rule.byQuarter.get(key);
    if (!tally) {
      const { window } = rule.limit;
      const name = windowName(window, atMs);
      const since = last !== undefined && windowName(window, last.atMs) === name ? ` since ${last.atMs}` : '';
      tally = this.#tally(rule, `${name}${since} ${value}`);
      rule.byQuarter.set(key, tally);
    }
    return tally;
  }

  /** The tally of the window that begins at a moment: at a reset, or where the calendar says. */
  tallyFrom(rule: LimitRule, startMs: number, value: string): Tally {
    return this.tallyAt(rule, startMs, value, isReset(rule, startMs) ? rule.resets : []);
  }

  /** The tallies of the windows in which a process may count a call of a moment that knows `version` or a later one. */
  talliesSince(rule: LimitRule, call: Omit<CallFacts, 'id'>, version: number): Set<Tally> {
    const value = tagValueOf(rule, call);
    const found = new Set<Tally>();
    const surely = rule.resets.filter((reset) => reset.version <= version).length;
    for (let known = surely; known <= rule.resets.length; known++)
      found.add(this.tallyAt(rule, call.atMs, value, rule.resets.slice(0, known)));
    return found;
  }

  /** The tallies of the raises of a limit of which a call may use what is left, as far as a version has them. */
  raisesAt(rule: LimitRule, call: Omit<CallFacts, 'id'>, version: number): Tally[] {
    const value = tagValueOf(rule, call);
    return rule.raises
      .filter((each) => each.version <= version && isOn(each.raise, call.atMs))
      .map(({ raise }) => this.raiseTally(rule, raise, value));
  }

  raiseTally(rule: LimitRule, raise: Raise, value: string): Tally {
    return this.#tally(rule, `raise ${raise.id} ${value}`, raise);
  }

  whole(credit: CreditRule): Tally {
    return this.#tally(credit, WHOLE);
  }

  /** The stretches of a credit, oldest first. */
  stretches(credit: CreditRule): Tally[] {
    return credit.bounds.map((startMs) => this.#tally(credit, String(startMs)));
  }

  tallies(): Iterable<Tally> {
    return this.#tallies.values();
  }

  /** A limit counts its whole current window: also the calls from before it was made. */
  countBackwards(rule: LimitRule, calls: Iterable<CallRecord>): void {
    for (const call of calls) {
      if (call.cancelled || !counts(rule, call)) continue;
      const tally = this.tallyAt(rule, call.atMs, tagValueOf(rule, call));
      const { meter } = rule.limit;
      call.counts.push({ tally, surely: false, isBase: call.booked });
      const due = call.reported?.amounts ?? call.bill;
      if (due) tally.due += measure(meter, due);
      if (!call.booked) continue;
      const cost = measure(meter, call.reported?.amounts ?? call.hold);
      tally.booked += cost;
      tally.base += cost;
    }
  }

  #tally(rule: Rule, window: string, raise: Raise | null = null): Tally {
    const key = `${rule.kind === 'limit' ? rule.limit.id : rule.teamId} ${window}`;
    let tally = this.#tallies.get(key);
    if (!tally) {
      tally = newTally(rule, window, raise);
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}

function counts({ limit }: LimitRule, call: Omit<CallFacts, 'id'>): boolean {
  const { subject, models } = limit;
  if (models !== null && !models.includes(call.model)) return false;
  if (subject.type === 'org') return true;
  if (subject.type === 'department') return call.departments.includes(subject.id);
  if (subject.type === 'team') return subject.id === call.teamId;
  if (subject.type === 'key') return subject.id === call.keyId;
  if (subject.type === 'user') return limit.teamId === call.teamId && subject.id === call.endUser;
  const value = named(call, subject.name);
  if (value === undefined || (limit.teamId !== ORGANIZATION_ID && limit.teamId !== call.teamId)) return false;
  return subject.value === null || subject.value === value;
}

function firstPathOf(teamId: string): readonly string[] {
  return pathOf(FIRST_DEPARTMENTS[teamId] ?? null);
}

/** Whether the window of a limit counts from this moment on because it was reset. */
export function isReset({ resets }: LimitRule, atMs: number): boolean {
  return resets.some((reset) => reset.atMs === atMs);
}

export function isOn({ startsAtMs, untilMs }: Raise, atMs: number): boolean {
  return startsAtMs <= atMs && atMs < untilMs;
}

function stretchOf({ bounds }: CreditRule, atMs: number): number {
  return bounds.findLast((startMs) => startMs <= atMs)!;
}

/** The value of a call for a limit that counts each value of a tag; empty: the limit counts one subject. */
export function tagValueOf({ limit: { subject } }: LimitRule, call: Omit<CallFacts, 'id'>): string {
  return subject.type === 'tag' && subject.value === null ? (named(call, subject.name) ?? '') : '';
}

/** The value of a call's tag of this name; undefined: it has none. */
function named({ tags }: Omit<CallFacts, 'id'>, name: string): string | undefined {
  const start = `${name}=`;
  return tags?.find((tag) => tag.startsWith(start))?.slice(start.length);
}
