/**
 * Plays random conversations: each call is bound by what earlier ones were counted at, then counted by an upstream that the
 * gateway does not know. Items are tiny on purpose, so that what stands around them weighs as much as it can.
 */
import { ApiError } from '../../src/domain/errors.ts';
import { estimate } from '../../src/domain/estimate.ts';
import { type KeptResponse, noWeight } from '../../src/domain/kept.ts';
import type { BeyondText, Operation } from '../../src/domain/operation.ts';
import { Anchors, type AnchorUse } from '../../src/gateway/anchors.ts';
import { weigh } from '../../src/gateway/recall.ts';
import type { InputParts } from '../../src/openai/input-parts.ts';
import { sealOf } from '../../src/openai/kept.ts';
import { book, NOW } from '../domain/fixtures.ts';
import { accepted } from '../openai/read.ts';
import { Random } from '../support/random.ts';
import {
  type Body,
  HABITS,
  type Habit,
  type Item,
  TOKENISERS,
  TOOL_NAME,
  type Tokeniser,
} from './upstreams.ts';

const words = (random: Random, most: number): string =>
  Array.from({ length: random.between(1, most) }, () =>
    random.pick(['the ', 'état ', '数据 ', 'x', '{"a":1}', 'zzzzzz', '\n\t', '𐍈 ', 'return ']),
  ).join('');

/** A tool whose bytes nothing else has. */
const tool = (random: Random): Item => ({
  type: 'function',
  name: `f${random.between(1, 4)}`,
  parameters: { type: 'object', description: 'd'.repeat(random.between(1, 300)) },
});

/** What the upstream's responses thought, by what is encrypted of it. */
class Thoughts {
  readonly #responses = new Map<string, KeptResponse>();
  readonly #tokens = new Map<string, number>();
  readonly #model: string;
  #made = 0;

  constructor(model: string) {
    this.#model = model;
  }

  /** Returns the items of one response's reasoning, of which only the sum is reported. */
  think(random: Random): Item[] {
    const pieces = Array.from({ length: random.between(1, 2) }, () => random.between(0, 3000));
    const reasoningTokens = pieces.reduce((total, each) => total + each, 0);
    const items = pieces.map((tokens) => {
      const encrypted_content = `sealed-${++this.#made}`;
      this.#tokens.set(encrypted_content, tokens);
      const summary = random.chance(0.3) ? [{ type: 'summary_text', text: words(random, 5) }] : [];
      return { type: 'reasoning', id: `rs_${this.#made}`, summary, encrypted_content };
    });
    const names = items.map((item) => sealOf(item.encrypted_content));
    const kept = keptOf(this.#model, names, reasoningTokens);
    for (const name of names) this.#responses.set(name, kept);
    return items;
  }

  get(name: string) {
    const response = this.#responses.get(name);
    if (response === undefined) return null;
    const item = response.items.find(({ names }) => names.includes(name)) ?? null;
    return { response, item };
  }

  tokensOf = (item: Item): number => this.#tokens.get(String(item.encrypted_content)) ?? 0;
}

function keptOf(model: string, seals: readonly string[], reasoningTokens: number): KeptResponse {
  const history = {
    models: [model],
    tokens: null,
    reasoning: reasoningTokens,
    leftOut: 0,
    isReasoningKnown: true,
    reasoningContext: null,
    bytes: 0,
    images: [],
    hasHidden: true,
    isOpen: false,
  };
  const items = seals.map((seal) => ({ names: [seal], bytes: 0, hidden: 'reasoning' as const, images: [] }));
  return { history, inputTokens: 0, outputTokens: reasoningTokens, reasoningTokens, items };
}

/** The items of one step of an agent. */
function step(random: Random, { brings }: Habit, thoughts: Thoughts): Item[] {
  const image = {
    role: 'user',
    content: [{ type: 'input_image', image_url: 'https://a/b.png', detail: 'high' }],
  };
  if (brings === 'images' && random.chance(0.3)) return [image];
  const thinks = brings === 'reasoning' && random.chance(0.5) ? thoughts.think(random) : [];
  if (random.chance(0.5)) {
    const output = { type: 'function_call_output', call_id: 'c', output: words(random, 8) };
    const call = { type: 'function_call', call_id: 'c', name: TOOL_NAME, arguments: words(random, 3) };
    return [...thinks, call, output];
  }
  const answer = { role: 'assistant', content: words(random, random.chance(0.2) ? 200 : 10) };
  return [...thinks, answer, { role: 'user', content: words(random, 4) }];
}

/** What a client does between two calls: goes on, edits, forks, drops, appends, changes its tools or its clock. */
function goOn(body: Body, random: Random, habit: Habit, thoughts: Thoughts): Body {
  const next = structuredClone(body);
  const at = random.between(1, next.input.length);
  const roll = random.fraction();
  if (roll < 0.08) next.input.splice(at);
  else if (roll < 0.14) next.input.splice(at, 0, { role: 'user', content: words(random, 3) });
  else if (roll < 0.18 && next.input.length > 3) next.input.splice(at, 1);
  else if (roll < 0.22) {
    const last = next.input.at(-1)!;
    if (typeof last.content === 'string') last.content += words(random, 5);
  } else if (roll < 0.28)
    next.tools.push(random.chance(0.5) ? tool(random) : structuredClone(random.pick(next.tools)));
  else if (roll < 0.32 && next.tools.length > 1) next.tools.pop();
  else if (roll < 0.4) next.instructions = words(random, 60);
  else if (roll < 0.43) next.input.push(structuredClone(random.pick(next.input)));
  next.input.push(...step(random, habit, thoughts));
  return next;
}

function start(random: Random, { brings, isAsked }: Habit): Body {
  const content = random.pick(['a', 'b']).repeat(random.between(3500, 4200));
  const tools = [tool(random)];
  const input = [{ role: 'user', content }];
  const body: Body = { model: 'gpt-5', instructions: words(random, 40), tools, input, store: false };
  if (brings === 'truncation') body.truncation = 'auto';
  if (isAsked) body.reasoning = { context: 'current_turn' };
  return body;
}

/** What is wrong with a gateway: it reads a call, or what it learns, in another way. Missing: nothing is. */
export interface Fault {
  name: string;
  /** The habit of an upstream under which it holds too little. */
  habit: string;
  body?: (body: Body) => Body;
  parts?: (parts: InputParts, body: Body, tokeniser: Tokeniser) => InputParts;
  beyond?: (beyond: BeyondText) => BeyondText;
  bound?: (bound: number) => number;
  use?: (use: AnchorUse) => AnchorUse;
}

const card = book.find('gpt-5', NOW)!;

export interface Played {
  /** The least that a bound was above its bill, in tokens. */
  least: number;
  calls: number;
  /** Calls that earlier ones bounded. */
  anchored: number;
}

/** What becomes of one call. */
class Conversation {
  readonly #habit: Habit;
  readonly #count: Tokeniser;
  readonly #fault: Fault | null;
  readonly #anchors = new Anchors();
  readonly #thoughts = new Thoughts('gpt-5');
  readonly #random: Random;
  readonly played: Played = { least: Number.POSITIVE_INFINITY, calls: 0, anchored: 0 };

  constructor(habit: Habit, count: Tokeniser, random: Random, fault: Fault | null) {
    this.#habit = habit;
    this.#count = count;
    this.#random = random;
    this.#fault = fault;
  }

  play(calls: number): void {
    let body = start(this.#random, this.#habit);
    for (let call = 0; call < calls; call++) {
      this.#call(body);
      body = goOn(body, this.#random, this.#habit, this.#thoughts);
    }
  }

  #call(body: Body): void {
    const { played } = this;
    const fault = this.#fault;
    const { operation, inputParts } = accepted('responses', fault?.body?.(body) ?? body);
    if (operation.beyondText !== null) weigh(operation, operation.beyondText, this.#thoughts, noWeight());
    const use = inputParts === null ? null : this.#find(body, operation, inputParts);
    const reasoningOf = this.#thoughts.tokensOf;
    const bill = this.#habit.count({ body, count: this.#count, random: this.#random, reasoningOf });
    played.calls++;
    if ((operation.beyondText?.references ?? null) === null) this.#checkWhole(operation, use, bill);
    if (use?.bound != null) {
      const bound = fault?.bound?.(use.bound) ?? use.bound;
      played.least = Math.min(played.least, bound - bill);
      played.anchored++;
    }
    if (use !== null) this.#anchors.learn(fault?.use?.(use) ?? use, bill, this.#habit.says ?? null, NOW);
  }

  #find(body: Body, operation: Operation, inputParts: InputParts): AnchorUse | null {
    const fault = this.#fault;
    const wanted = operation.kept?.reasoningContext ?? null;
    const scope = { teamId: 't', model: body.model, wanted };
    const beyond = operation.beyondText;
    return this.#anchors.find(
      scope,
      fault?.parts?.(inputParts, body, this.#count) ?? inputParts,
      beyond === null ? null : (fault?.beyond?.(beyond) ?? beyond),
      card.limits.imageRule,
      NOW,
    );
  }

  /** Where more is billed than there are bytes, the bytes' own bound does not hold, and what was counted still does. */
  #checkWhole(operation: Operation, use: AnchorUse | null, bill: number): void {
    const held = estimate(operation, card, { strict: true, inputAtMost: use?.bound ?? null });
    const bytes = estimate(operation, card, { strict: true });
    if (held instanceof ApiError || bytes instanceof ApiError) throw new Error('the call is refused');
    if (bytes.inputTokens >= bill) this.played.least = Math.min(this.played.least, held.inputTokens - bill);
  }
}

/** Conversations that share what was learned. */
const TOGETHER = 3;
const CALLS = 8;

/** Plays three conversations of one team. */
export function play(habit: string, tokeniser: string, seed: number, fault: Fault | null = null): Played {
  const conversation = new Conversation(HABITS[habit]!, TOKENISERS[tokeniser]!, new Random(seed), fault);
  for (let count = 0; count < TOGETHER; count++) conversation.play(CALLS);
  return conversation.played;
}
