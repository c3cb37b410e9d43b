/** The rules as an administrator made them, version by version, and the judge's tallies of each. */
import { type Grant, type Limit, ORGANIZATION_ID } from '../../../src/domain/limit.ts';
import { departmentsOfTeam } from '../departments.ts';
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
  readonly #tallies = new Map<string, Tally>();

  addLimit(limit: Limit): LimitRule {
    this.version++;
    const rule: LimitRule = {
      kind: 'limit',
      limit,
      terms: [{ version: this.version, amount: limit.amount }],
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
  talliesOf(call: CallFacts): Tally[] {
    const tallies: Tally[] = [];
    for (const rule of this.limits.values())
      if (counts(rule, call)) tallies.push(this.tallyAt(rule, call.atMs, tagValueOf(rule, call)));
    const credit = this.credits.get(call.teamId);
    if (credit) tallies.push(this.whole(credit), this.#tally(credit, String(stretchOf(credit, call.atMs))));
    return tallies;
  }

  /** @param value of the tag of which a limit counts each value; empty: it counts one subject */
  tallyAt(rule: LimitRule, atMs: number, value: string): Tally {
    // Every zone's midnight is the start of a quarter of an hour, so a quarter lies in one window.
    const quarter = Math.floor(atMs / 900_000);
    const key = `${quarter} ${value}`;
    let tally = rule.byQuarter.get(key);
    if (!tally) {
      tally = this.#tally(rule, `${windowName(rule.limit.window, atMs)} ${value}`);
      rule.byQuarter.set(key, tally);
    }
    return tally;
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

  #tally(rule: Rule, window: string): Tally {
    const key = `${rule.kind === 'limit' ? rule.limit.id : rule.teamId} ${window}`;
    let tally = this.#tallies.get(key);
    if (!tally) {
      tally = newTally(rule, window);
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}

function counts({ limit }: LimitRule, call: CallFacts): boolean {
  const { subject, models } = limit;
  if (models !== null && !models.includes(call.model)) return false;
  if (subject.type === 'org') return true;
  if (subject.type === 'department') return departmentsOfTeam(call.teamId).includes(subject.id);
  if (subject.type === 'team') return subject.id === call.teamId;
  if (subject.type === 'key') return subject.id === call.keyId;
  if (subject.type === 'user') return limit.teamId === call.teamId && subject.id === call.endUser;
  const value = named(call, subject.name);
  if (value === undefined || (limit.teamId !== ORGANIZATION_ID && limit.teamId !== call.teamId)) return false;
  return subject.value === null || subject.value === value;
}

function stretchOf({ bounds }: CreditRule, atMs: number): number {
  return bounds.findLast((startMs) => startMs <= atMs)!;
}

/** The value of a call for a limit that counts each value of a tag; empty: the limit counts one subject. */
function tagValueOf({ limit: { subject } }: LimitRule, call: CallFacts): string {
  return subject.type === 'tag' && subject.value === null ? (named(call, subject.name) ?? '') : '';
}

/** The value of a call's tag of this name; undefined: it has none. */
function named({ tags }: CallFacts, name: string): string | undefined {
  const start = `${name}=`;
  return tags?.find((tag) => tag.startsWith(start))?.slice(start.length);
}
