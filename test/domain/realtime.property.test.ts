/** The bound of a realtime conversation against an upstream that leaves out what does not fit, and may take it back later. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ConversationBound,
  InputAudio,
  tokensOf,
  WEIGHTLESS,
  type Weight,
} from '../../src/domain/realtime.ts';

const ROOM = 120;
const WINDOW = 160;

type Step =
  | { do: 'add'; text: number; audio: number; share: number }
  | { do: 'respond'; output: number; ownPreface: boolean; input: boolean }
  | { do: 'instruct'; tokens: number }
  | { do: 'delete'; at: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    text: fc.nat(60),
    audio: fc.nat(60),
    share: fc.double({ min: 0.1, max: 1, noNaN: true }),
  }),
  fc.record({
    do: fc.constant('respond' as const),
    output: fc.nat(40),
    ownPreface: fc.boolean(),
    input: fc.boolean(),
  }),
  fc.record({ do: fc.constant('instruct' as const), tokens: fc.nat(50) }),
  fc.record({ do: fc.constant('delete' as const), at: fc.nat(4) }),
);

/** What the upstream reads: as many of the newest items as fit behind the preface. */
function read(items: readonly Weight[], preface: number): Weight {
  let sum: Weight = { ...WEIGHTLESS, text: preface };
  for (const item of items.toReversed()) {
    if (tokensOf(sum) + tokensOf(item) > ROOM) break;
    sum = { text: sum.text + item.text, audio: sum.audio + item.audio, image: 0 };
  }
  return sum;
}

describe('the bound of a conversation', () => {
  it('is never below what a response reads, whatever was left out before and came back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const bound = new ConversationBound();
        const items: Weight[] = [];
        let preface = 10;
        bound.setPreface(preface);
        for (const one of steps) {
          if (one.do === 'add') {
            bound.add({ ...WEIGHTLESS, text: one.text, audio: one.audio });
            const weigh = (most: number) => Math.floor(most * one.share);
            items.push({ ...WEIGHTLESS, text: weigh(one.text), audio: weigh(one.audio) });
          } else if (one.do === 'instruct') {
            preface = one.tokens;
            bound.setPreface(preface);
          } else if (one.do === 'delete') items.splice(Math.max(0, items.length - 1 - one.at), 1);
          else {
            const own = one.ownPreface ? 25 : null;
            const most = bound.most(own);
            bound.fits(most, ROOM);
            const held = bound.most(own);
            const moment = bound.now();
            const truth = read(items, own ?? preface);
            for (const kind of ['text', 'audio'] as const)
              expect(Math.min(WINDOW, held[kind])).toBeGreaterThanOrEqual(Math.min(WINDOW, truth[kind]));
            bound.reported(truth, moment, own !== null);
            const written = { ...WEIGHTLESS, text: one.output };
            bound.add(written);
            items.push(written);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('is close to what was reported, where nothing can have been left out', () => {
    const bound = new ConversationBound();
    bound.setPreface(100);
    bound.add({ ...WEIGHTLESS, text: 400 });
    const first = bound.most(null);
    bound.fits(first, 10_000);
    bound.reported({ ...WEIGHTLESS, text: 130 }, bound.now(), false);
    bound.add({ ...WEIGHTLESS, text: 5 });
    expect(bound.most(null)).toEqual({ ...WEIGHTLESS, text: 135 });
    expect(bound.most(40)).toEqual({ ...WEIGHTLESS, text: 175 });
    bound.fits(bound.most(null), 100);
    expect(bound.most(null)).toEqual({ ...WEIGHTLESS, text: 505 });
  });
});

it('counts what was left out and came back', () => {
  const bound = new ConversationBound();
  bound.add({ ...WEIGHTLESS, audio: 100 });
  bound.add({ ...WEIGHTLESS, text: 30 });
  bound.fits(bound.most(null), 120);
  // The audio did not fit beside the text; then the text is deleted.
  bound.reported({ ...WEIGHTLESS, text: 30 }, bound.now(), false);
  expect(bound.most(null).audio).toBe(100);
});

describe('the input buffer', () => {
  it('keeps what came behind the end of a turn', () => {
    const audio = new InputAudio();
    audio.append(5);
    audio.turnEnds(3);
    expect(audio.commitTurn()).toBeCloseTo(3.001);
    expect(audio.pending).toBe(2);
    // Nothing was said of this one's end: all of it may have been committed, or none.
    expect(audio.commitTurn()).toBe(2);
    expect(audio.pending).toBe(2);
    audio.cut();
    expect(audio.pending).toBe(0);
  });
});
