/** Where a simulation begins: the moment (just before a window ends somewhere), who calls, and under which rules. */

import { asId, type TeamId } from '../../src/domain/ids.ts';
import { type Grant, type Limit, ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import type { Window } from '../../src/domain/window.ts';
import { grantOf, limitOf } from '../support/accounts.ts';
import type { Random } from '../support/random.ts';
import { DEPARTMENTS } from './departments.ts';
import type { SimAdmin, SimKey } from './sim-admin.ts';

/** Midnights at which a day, a week or a month ends; some of them the night before clocks change, or after. */
const MIDNIGHTS: readonly [string, string][] = [
  ['UTC', '2026-11-21T00:00:00Z'],
  ['UTC', '2026-11-30T00:00:00Z'],
  ['Europe/Berlin', '2026-03-28T23:00:00Z'],
  ['Europe/Berlin', '2026-10-25T23:00:00Z'],
  ['Asia/Shanghai', '2026-10-31T16:00:00Z'],
  ['Asia/Kolkata', '2026-11-22T18:30:00Z'],
  ['America/New_York', '2026-03-08T05:00:00Z'],
  ['America/New_York', '2026-11-02T05:00:00Z'],
];

export const KEYS: readonly SimKey[] = [
  { keyId: 'key-1', teamId: 'capped' },
  { keyId: 'key-2', teamId: 'capped' },
  { keyId: 'key-3', teamId: 'capped' },
  { keyId: 'key-4', teamId: 'prepaid' },
  { keyId: 'key-5', teamId: 'both' },
  { keyId: 'key-6', teamId: 'unfunded' },
];

export const MODELS = ['gpt-4o', 'gpt-4o', 'gpt-5-mini'] as const;
export const END_USERS = [null, 'ada', 'bob'] as const;

/** Tags of the calls of an end user; of other calls there are none. */
export const TAGS: ReadonlyMap<string | null, readonly string[]> = new Map([
  ['ada', ['project=alpha', 'run=a']],
  ['bob', ['run=b']],
]);

export interface World {
  startMs: number;
  limits: Limit[];
  grants: Grant[];
}

/** Budgets from some cents to some hundred dollars: with the least nearly all is refused, with the most nothing. */
const SCALES = [2n, 10n, 10n, 40n, 100n, 1000n];

export function makeWorld(random: Random): World {
  const [timeZone, midnight] = random.pick(MIDNIGHTS);
  const startMs = Date.parse(midnight) - random.between(1_000, 60_000);
  const scale = random.pick(SCALES);
  const usd = (cents: number) => (Number(scale) * cents) / 1000;
  const money = (cents: number) => usd(cents).toFixed(2);
  const calendar = (unit: 'day' | 'week' | 'month'): Window => ({ type: 'calendar', unit, timeZone });
  const ofTeam = (id: string, teamId: string, cents: number, window: Window) =>
    limitOf(id, money(cents), { teamId: asId(teamId), subject: { type: 'team', id: asId(teamId) }, window });
  const ofKey = (id: string, keyId: string, cents: number) =>
    limitOf(id, money(cents), { teamId: asId('capped'), subject: { type: 'key', id: asId(keyId) } });
  const ofDepartment = (id: string, cents: number, window: Window) =>
    limitOf(`of-${id}`, money(cents), {
      ...{ teamId: ORGANIZATION_ID, subject: { type: 'department', id: asId(id) }, window },
    });
  const grant = (id: string, teamId: string, cents: number, beginsMs: number, lastsMs: number | null) =>
    grantOf(id, money(cents), {
      teamId: asId(teamId),
      startsAtMs: beginsMs <= 0 ? 0 : startMs + beginsMs,
      expiresAtMs: lastsMs === null ? null : startMs + Math.max(0, beginsMs) + lastsMs,
    });
  return {
    startMs,
    limits: [
      ofTeam('daily', 'capped', 600, calendar('day')),
      ofTeam('weekly', 'capped', 1400, calendar('week')),
      ofKey('of-key-1', 'key-1', 250),
      ofKey('of-key-2', 'key-2', 250),
      ofTeam('monthly', 'both', 300, calendar('month')),
      { ...ofTeam('one-model', 'both', 150, { type: 'lifetime' }), models: ['gpt-5-mini'] },
      { ...ofTeam('ada', 'capped', 200, calendar('day')), subject: { type: 'user', id: 'ada' } },
      {
        ...ofTeam('run', 'capped', 220, { type: 'lifetime' }),
        subject: { type: 'tag', name: 'run', value: null },
      },
      {
        ...ofTeam('project', ORGANIZATION_ID, 450, calendar('day')),
        subject: { type: 'tag', name: 'project', value: 'alpha' },
      },
      ofDepartment('unit', 700, calendar('day')),
      ofDepartment('division', 1100, calendar('week')),
      ofDepartment('company', 1500, calendar('day')),
      { ...ofTeam('all', ORGANIZATION_ID, 2500, calendar('month')), subject: { type: 'org' } },
      { ...ofTeam('tokens', 'capped', 0, calendar('day')), meter: 'tokens', amount: scale * 60_000n * UNIT },
      { ...ofKey('requests', 'key-3', 0), meter: 'requests', amount: scale * 5n * UNIT },
    ],
    grants: [
      grant('brief', 'prepaid', 150, 0, random.between(5_000, 60_000)),
      grant('later', 'prepaid', 300, random.between(-1, 20_000), random.between(30_000, 90_000)),
      grant('lasting', 'prepaid', 200, 0, null),
      grant('credit', 'both', 500, 0, random.between(20_000, 90_000)),
    ],
  };
}

/** In these seeds calls go one at a time where too much money is of unknown outcome. */
export function hasCaps(seed: number): boolean {
  return seed % 4 === 1;
}

/** Makes a random change of the rules, as an administrator may at any time. */
export function changeRules(admin: SimAdmin, random: Random, nowMs: number): void {
  // What a call in flight used of tokens when its process died nobody knows: a limit that is made later cannot count
  // it.
  const limit = random.pick(admin.limits.filter(({ meter }) => meter !== 'tokens'));
  const what = random.fraction();
  if (what < 0.3) admin.changeLimit(limit.id, rounded(limit, random.between(105, 150)));
  else if (what < 0.55) admin.changeLimit(limit.id, rounded(limit, random.between(40, 95)));
  else if (what < 0.75)
    admin.makeLimit({ ...limit, id: asId(`added-${admin.version}`), resetAtMs: null, raises: [] });
  else if (what < 0.9) {
    if (admin.limits.length > 4) admin.deleteLimit(limit.id);
  } else {
    const lastsMs = random.pick([null, 3_000, 20_000]);
    const teamId = asId<TeamId>(random.pick(['prepaid', 'both']));
    const changes = { teamId, startsAtMs: nowMs, expiresAtMs: lastsMs === null ? null : nowMs + lastsMs };
    admin.makeGrant({ ...grantOf(`added-${admin.version}`, '0', changes), amount: limit.amount / 4n });
  }
}

/** For how long limits are raised. */
const RAISED_MS = [2_000, 10_000, 60_000];

/** Makes a random change that leaves every rule as it is: of a window, for some time, or of who is where. */
export function changeForNow(admin: SimAdmin, random: Random, nowMs: number): Changed | null {
  const limits = admin.limits.filter(({ meter }) => meter !== 'tokens');
  const what = random.pick<Changed>(['resets', 'raises', 'moves']);
  if (what === 'moves') {
    const teamId = random.pick(['capped', 'prepaid', 'both', 'unfunded']);
    const department = random.pick([null, ...DEPARTMENTS]);
    if (admin.departmentOf(teamId) === department) return null;
    admin.moveTeam(teamId, department);
  } else if (what === 'raises') {
    // Of some that which is the most used: what is not spent needs no raise.
    const some = [1, 2, 3, 4].map(() => random.pick(limits));
    const used = some.map((limit) => admin.usedOf(limit, nowMs) ?? 0);
    const limit = some[used.indexOf(Math.max(...used))]!;
    admin.raiseLimit(limit.id, rounded(limit, random.between(10, 100)), nowMs, random.pick(RAISED_MS));
  } else {
    const limit = random.pick(limits);
    const isEach = limit.subject.type === 'tag' || limit.subject.type === 'user';
    // Of a limit of which nothing was lent there is nothing to reset.
    if (isEach || admin.usedOf(limit, nowMs) === null) return null;
    admin.resetLimit(limit.id, nowMs);
  }
  return what;
}

export type Changed = 'resets' | 'raises' | 'moves';

/** A part of a limit's amount, in whole units where it counts anything but money. */
function rounded({ meter, amount }: Limit, percent: number): bigint {
  const part = (amount * BigInt(percent)) / 100n;
  return meter === 'cost_usd' ? part : part - (part % UNIT);
}
