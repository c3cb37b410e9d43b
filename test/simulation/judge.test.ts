/** What the judge demands of a process: as much as it can know, and no more. */
import { beforeEach, expect, test } from 'vitest';
import { asId, type RaiseId } from '../../src/domain/ids.ts';
import { limitOf } from '../support/accounts.ts';
import type { Amounts } from './judge/amounts.ts';
import type { CallRecord, Owner } from './judge/calls.ts';
import { countedOf, Judge } from './judge/judge.ts';
import { heldBack, letThrough } from './judge/unknown.ts';

const HELD: Amounts = { cost: 600_000_000_000n, input_tokens: 1, output_tokens: 1 };
const KIND = { teamId: 'team', keyId: 'key-1', model: 'gpt-4o', endUser: null, departments: [] };

let nowMs: number;
let judge: Judge;
let owner: Owner;
beforeEach(() => {
  nowMs = 10_000;
  judge = new Judge(() => nowMs);
  judge.addLimit(limitOf('limit', '10.00'));
  owner = judge.started('instance');
  judge.received(owner, judge.rules.version);
  nowMs += 2_000;
});

const factsOf = (id: string) => ({ ...KIND, id, atMs: nowMs });
/** A call of 60 cents that a process of its own reports as unknown: two are more than a tenth of the limit. */
function unknownCall(id: string): CallRecord {
  const call = judge.admitted(owner, factsOf(id), HELD, []);
  judge.forwarded(call, HELD);
  judge.reported(call, { outcome: 'unknown', amounts: HELD });
  return call;
}
const letTwoThrough = () => [letThrough(judge, owner, factsOf('')), letThrough(judge, owner, factsOf(''))];

test('what a process reported counts until a reading has it', () => {
  for (const id of ['1', '2']) unknownCall(id);
  owner.readUnknown.set('team', { calls: new Set(), own: new Set(['1']) });
  expect(letTwoThrough()).toEqual([false, false]);
  owner.readUnknown.set('team', { calls: new Set(['1']), own: new Set(['1']) });
  expect(letTwoThrough).toThrow('beside another one');
});

test('what a reading showed as corrected is not known, though the store has forgotten the correction', () => {
  for (const id of ['1', '2']) {
    const call = unknownCall(id);
    judge.corrected(call);
    owner.readUnknown.set('team', { calls: new Set(), own: new Set(['1', '2']) });
    judge.correctionForgotten(call);
  }
  expect(letTwoThrough()).toEqual([false, false]);
});

test('a correction of the millisecond in which a process read may have come after', () => {
  for (const id of ['1', '2']) judge.corrected(unknownCall(id));
  owner.heardMs = nowMs;
  heldBack(judge, owner, factsOf(''));
  owner.heardMs = nowMs + 1;
  expect(() => heldBack(judge, owner, factsOf(''))).toThrow('is of unknown outcome');
});

/** A call that its process holds on the limit's window since a moment, and so much of it on a raise. */
function heldSince(windowStartsMs: number, onRaise: bigint | null = null): CallRecord {
  const raises = onRaise === null ? [] : [{ id: 'raise', held: onRaise }];
  const part = { limitId: 'limit', windowStartsMs, held: HELD.cost - (onRaise ?? 0n), raises };
  return judge.admitted(owner, factsOf(`${nowMs}`), HELD, [part]);
}

test('a process may go on with the window before a reset until it has known the reset for a second', () => {
  judge.rules.resetLimit('limit', 11_999);
  heldSince(0);
  judge.received(owner, judge.rules.version);
  nowMs += 999;
  heldSince(0);
  nowMs += 1;
  expect(() => heldSince(0)).toThrow('a call belongs to the window');
  heldSince(11_999);
});

test('a raise pays from its start to its end, and only who knows it may use it', () => {
  const raise = { id: asId<RaiseId>('raise'), amount: HELD.cost, startsAtMs: nowMs, untilMs: nowMs + 10 };
  judge.rules.raiseLimit('limit', raise);
  expect(() => heldSince(0, 1n)).toThrow('raise pays');
  judge.received(owner, judge.rules.version);
  nowMs += 9;
  const { counts } = heldSince(0, HELD.cost - 1n);
  expect(counts.map((count) => countedOf(count, HELD))).toEqual([1n, HELD.cost - 1n]);
  expect(counts.map((count) => countedOf(count, { ...HELD, cost: 1n }))).toEqual([1n, 0n]);
  expect(counts.map((count) => countedOf(count, { ...HELD, cost: HELD.cost + 5n }))).toEqual([
    1n,
    HELD.cost + 4n,
  ]);
  nowMs += 1;
  expect(() => heldSince(0, 1n)).toThrow('raise pays');
});

test('a call counts in the departments that its process may take its team to be in', () => {
  judge.rules.moveTeam('team', 'unit');
  judge.admitted(owner, factsOf('1'), HELD, []);
  judge.received(owner, judge.rules.version);
  nowMs += 1_000;
  expect(() => judge.admitted(owner, factsOf('2'), HELD, [])).toThrow('departments');
  judge.admitted(owner, { ...factsOf('3'), departments: ['unit', 'division', 'company'] }, HELD, []);
});
