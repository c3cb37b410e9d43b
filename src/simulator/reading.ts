/** How a model reads the items of a conversation: which of them, what stands around them, and what is hidden behind them. */
import { isObject, type JsonObject } from './fields.ts';
import { add, addText, emptyInput, type InputSize, measure } from './input.ts';
import type { Random } from './random.ts';

/** An item of a conversation, with the reasoning behind it that nothing in it shows. */
export interface KeptItem {
  item: JsonObject;
  reasoningTokens: number;
}

/**
 * What of earlier reasoning a model is given again. `random`: of each item at random, and no response says. Of the other
 * two the response says which; with `undocumented` it says `current_turn`, and all of it comes back.
 */
export const REASONING_CONTEXTS = ['all_turns', 'current_turn', 'random', 'undocumented'] as const;
export type ReasoningContext = (typeof REASONING_CONTEXTS)[number];

/**
 * What an upstream counts beside the texts of the items. `frames`: three tokens each. `longer_turns`: the same, and
 * what the model wrote counts half as much again. `json`: their whole JSON, and 16 tokens each; and so do the rest, which add:
 * `date_line`: a line of 54 to 60 tokens; `reminders`: 60 for every ten items; `tool_names`: the name of its tool before
 * each output; `growing_images`: remote images of another size in each call; `drops`: the oldest items are left out where
 * `truncation` is `auto`.
 */
export const HABITS = [
  'frames',
  'json',
  'longer_turns',
  'date_line',
  'reminders',
  'tool_names',
  'growing_images',
  'drops',
] as const;
export type Habit = (typeof HABITS)[number];

export interface Reading {
  context: ReasoningContext;
  habit: Habit;
  /** `truncation: auto`: the upstream may leave out what it likes. */
  mayDrop: boolean;
  random: Random;
}

const JSON_FRAME_TOKENS = 16;
const LONGER = 1.5;
const REMINDER_TOKENS = 60;
const REMINDED_ITEMS = 10;
const DATE_LINE_TOKENS = 54;
const DATE_LINE_VARIES = 7;

/** Adds items to what a model reads. */
export function readItems(size: InputSize, all: readonly KeptItem[], reading: Reading): void {
  const { context, habit, random } = reading;
  const drops = habit === 'drops' && reading.mayDrop;
  const items = drops ? all.slice(Math.floor(random() * all.length)) : all;
  const turn = items.findLastIndex(({ item }) => item.role === 'user');
  for (const [index, { item, reasoningTokens }] of items.entries()) {
    const isGiven = context === 'current_turn' ? index > turn : context === 'random' ? random() < 0.5 : true;
    if (item.type !== 'reasoning') readItem(size, item, habit);
    else if (isGiven) {
      measure(size, item.summary);
      size.tokens += reasoningTokens;
    }
  }
  size.messages += items.length;
  if (habit === 'date_line') size.tokens += DATE_LINE_TOKENS + Math.floor(random() * DATE_LINE_VARIES);
  if (habit === 'reminders') size.tokens += REMINDER_TOKENS * Math.floor(items.length / REMINDED_ITEMS);
  if (habit === 'growing_images') growImages(size, random);
  if (habit === 'tool_names') nameOutputs(size, items);
}

function readItem(size: InputSize, item: JsonObject, habit: Habit): void {
  const own = emptyInput(size.tokeniser);
  measure(own, item);
  if (habit === 'longer_turns' && item.role === 'assistant') {
    own.textTokens = Math.min(own.textBytes, own.textTokens * LONGER);
  }
  // The JSON of an image would be counted as a text.
  const isJson = habit !== 'frames' && habit !== 'longer_turns' && own.images.length === 0;
  if (!isJson) {
    add(size, own);
    return;
  }
  addText(size, JSON.stringify(item));
  size.tokens += own.tokens + JSON_FRAME_TOKENS;
  size.unbillable ??= own.unbillable;
}

/** Remote images of sizes that no request states. */
function growImages({ images }: InputSize, random: Random): void {
  for (const image of images) {
    if (image.url.startsWith('data:')) continue;
    image.size = { width: 1 + Math.floor(random() * 4000), height: 1 + Math.floor(random() * 3000) };
  }
}

/** The name of its tool before each output, which itself names no more than a call. */
function nameOutputs(size: InputSize, items: readonly KeptItem[]): void {
  const names = new Map<unknown, string>();
  for (const { item } of items) {
    if (typeof item.name === 'string') names.set(item.call_id, item.name);
    for (const call of Array.isArray(item.tool_calls) ? item.tool_calls.filter(isObject) : []) {
      const inner = call.function ?? call.custom;
      if (isObject(inner)) names.set(call.id, String(inner.name));
    }
    const answered = item.tool_call_id ?? (item.type === 'function_call_output' ? item.call_id : undefined);
    addText(size, names.get(answered) ?? '');
  }
}
