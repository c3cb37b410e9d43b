/** What the judge demands of calls of unknown outcome: as much as a process can know, and no more. */
import { beforeEach, expect, test } from 'vitest';
import { limitOf } from '../support/accounts.ts';
import type { Amounts } from './judge/amounts.ts';
import type { CallRecord, Owner } from './judge/calls.ts';
import { Judge } from './judge/judge.ts';
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
