/**
 * What is kept never weighs less than what an upstream reads of it again, whatever its tokeniser, and whatever of earlier
 * reasoning it leaves out and gives back later.
 */
import { describe, expect, it } from 'vitest';
import {
  addCall,
  addHistory,
  addItems,
  afterCall,
  afterLostCall,
  type Conversation,
  type ConversationCall,
  historyOf,
  type KeptInput,
  type KeptItem,
  type KeptResponse,
  keptResponse,
  newConversation,
  noWeight,
  type ReasoningContext,
  type Weight,
} from '../../src/domain/kept.ts';
import { Random } from '../support/random.ts';

const MODELS = ['small', 'large'] as const;
type Model = (typeof MODELS)[number];
type Draw = (max: number) => number;

/** A text: its bytes, and the tokens that each model makes of them. */
interface Text {
  bytes: number;
  tokens: Record<Model, number>;
}

function text(draw: Draw): Text {
  const bytes = 20 + draw(400);
  // Often as many tokens as bytes, so that nothing is bounded by luck.
  const tokens = () => (draw(3) > 0 ? bytes : draw(bytes));
  return { bytes, tokens: { small: tokens(), large: tokens() } };
}

/** What an upstream keeps of a call. */
interface Real {
  texts: Text[];
  reasoning: Text;
}

interface Turn {
  model: Model;
  own: Text;
  answer: Text;
  /** How many tokens wrote the answer: not always as many as read it. */
  written: number;
  reasoning: Text;
  context: ReasoningContext;
  isReported: boolean;
}

const NO_REASONING: Text = { bytes: 0, tokens: { small: 0, large: 0 } };

const turnOf = (draw: Draw): Turn => ({
  model: draw(4) === 0 ? 'large' : 'small',
  own: text(draw),
  answer: text(draw),
  written: draw(100),
  reasoning:
    draw(2) === 0 ? NO_REASONING : { bytes: 0, tokens: { small: 1 + draw(600), large: 1 + draw(60) } },
  context: ([null, 'all_turns', 'current_turn'] as const)[draw(2)]!,
  isReported: draw(7) > 0,
});

/** The reasoning of earlier calls that is read again. */
function given(history: readonly Real[], { context, model }: Turn, draw: Draw): number {
  if (context === 'current_turn') return 0;
  const parts = history.map(({ reasoning }) =>
    context === 'all_turns' || draw(1) === 0 ? reasoning.tokens[model] : 0,
  );
  return parts.reduce((sum, part) => sum + part, 0);
}

function read(history: readonly Real[], turn: Turn, draw: Draw): number {
  const texts = [...history.flatMap((each) => each.texts), turn.own];
  const visible = texts.reduce((sum, each) => sum + each.tokens[turn.model], 0);
  return visible + given(history, turn, draw);
}

const inputOf = (turn: Turn, recalled: Weight | null, changes: Partial<KeptInput> = {}): KeptInput => ({
  isStored: true,
  bytes: turn.own.bytes,
  images: [],
  hasHidden: false,
  isOpen: false,
  isCut: false,
  reasoningContext: turn.context,
  recalled,
  conversation: null,
  ...changes,
});

const itemsOf = (turn: Turn, name: string): KeptItem[] => [
  { names: [`rs_${name}`], bytes: 20, hidden: 'reasoning', images: [] },
  { names: [`msg_${name}`], bytes: turn.answer.bytes, hidden: 'nothing', images: [] },
];

/** No answer is longer, as it was written and as it is read. */
const HELD_OUTPUT = 1100;
/** No history of these tests is longer. */
const WINDOW = 1_000_000;

function record(turn: Turn, recalled: Weight | null, real: number, name: string): KeptResponse {
  const answer = {
    id: `resp_${name}`,
    isStored: true,
    items: itemsOf(turn, name),
    reasoningContext: turn.context,
  };
  const reasoningTokens = turn.reasoning.tokens[turn.model];
  const outputTokens = turn.written + reasoningTokens;
  const counted = { inputTokens: real, outputTokens, reasoningTokens };
  const held = {
    inputTokens: recalled?.window ? WINDOW : turn.own.bytes + (recalled?.tokens ?? 0),
    outputTokens: HELD_OUTPUT,
    reasoningTokens: HELD_OUTPUT,
  };
  return keptResponse(inputOf(turn, recalled), answer, [turn.model], turn.isReported ? counted : null, held);
}

const realOf = (turn: Turn): Real => ({ texts: [turn.own, turn.answer], reasoning: turn.reasoning });

/** Runs a story for many seeds; a failure names its seed. */
function forSeeds(count: number, story: (draw: Draw) => void): void {
  for (let seed = 1; seed <= count; seed++) {
    const random = new Random(seed);
    try {
      story((max) => random.between(0, max));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
}

const SEEDS = 5000;

describe('what the upstream keeps weighs no less than it reads again', () => {
  it('behind previous_response_id', () => {
    let bounded = 0;
    forSeeds(SEEDS, (draw) => {
      const history: Real[] = [];
      let previous: KeptResponse | null = null;
      for (let index = 0; index < 8; index++) {
        const turn = turnOf(draw);
        const weight = noWeight();
        if (previous !== null) addHistory(weight, previous.history, turn.model, turn.context);
        const real = read(history, turn, draw);
        if (!weight.window) {
          bounded++;
          expect(turn.own.bytes + weight.tokens).toBeGreaterThanOrEqual(real);
        }
        previous = record(turn, weight, real, String(index));
        history.push(realOf(turn));
      }
    });
    expect(bounded).toBeGreaterThan(5000);
  });

  it('in references to items, however often they come', () => {
    forSeeds(SEEDS, (draw) => {
      const kept = Array.from({ length: 4 }, (_, index) => {
        const turn: Turn = { ...turnOf(draw), model: 'small' };
        return { turn, response: record(turn, null, turn.own.tokens.small, String(index)) };
      });
      const weight = noWeight();
      let real = 0;
      const uses = Array.from({ length: 10 }, () => {
        const { turn, response } = kept[draw(3)]!;
        const item = response.items[draw(1)]!;
        real += item.hidden === 'reasoning' ? turn.reasoning.tokens.small : turn.answer.tokens.small;
        return { response, item, isSent: false };
      });
      addItems(weight, uses, 'small');
      expect(weight.tokens).toBeGreaterThanOrEqual(real);
      const other = noWeight();
      addItems(other, uses, 'large');
      expect(other.window).toBe(uses.some(({ item }) => item.hidden !== 'nothing'));
    });
  });

  it('in a conversation with calls side by side, lost ones among them', () => {
    let bounded = 0;
    forSeeds(SEEDS, (draw) => {
      let conversation: Conversation = newConversation(historyOf(0));
      /** What the upstream has, in its order. */
      const real: (Real & { order: number })[] = [];
      let underWay: { call: ConversationCall; turn: Turn; weight: Weight; from: number; order: number }[] =
        [];
      const lost: { call: ConversationCall; turn: Turn; order: number; isAdded: boolean }[] = [];
      for (let step = 0; step < 16; step++) {
        if (draw(1) === 0 || underWay.length === 0) {
          const turn = turnOf(draw);
          const call = {
            model: turn.model,
            addedBefore: conversation.addedTokens,
            bytes: turn.own.bytes,
            images: [],
            hasHidden: false,
            isOpen: false,
            outputTokens: HELD_OUTPUT,
          };
          const weight = noWeight();
          addHistory(weight, conversation.history, turn.model, turn.context);
          for (const each of [...underWay, ...lost]) addCall(weight, each.call, turn.model);
          underWay.push({ call, turn, weight, from: real.length, order: step });
        } else if (draw(7) === 0) {
          // Its answer is lost; the upstream may still end it, at any time.
          const { call, turn, order } = underWay.shift()!;
          lost.push({ call, turn, order, isAdded: false });
        } else if (draw(5) === 0 && lost.length > 0) {
          // A day later it is over in any case.
          const { call, turn, order, isAdded } = lost.shift()!;
          if (!isAdded) real.push({ ...realOf(turn), order });
          conversation = afterLostCall(conversation, call);
          // No call takes a day: those that began before it have ended.
          underWay = [];
        } else {
          for (const each of lost) {
            if (each.isAdded || draw(2) > 0) continue;
            each.isAdded = true;
            real.push({ ...realOf(each.turn), order: each.order });
          }
          const [ended] = underWay.splice(draw(underWay.length - 1), 1);
          const { call, turn, weight, from, order } = ended!;
          // It read what was there when it began, and some of what came since from calls that began before it.
          const came = real.slice(from).filter((each) => each.order < order && draw(1) === 0);
          const seen = [...real.slice(0, from), ...came];
          const input = read(seen, turn, draw);
          if (!weight.window) {
            bounded++;
            expect(turn.own.bytes + weight.tokens).toBeGreaterThanOrEqual(input);
          }
          conversation = afterCall(conversation, call, record(turn, weight, input, String(order)));
          real.push({ ...realOf(turn), order });
        }
      }
    });
    expect(bounded).toBeGreaterThan(5000);
  });
});
