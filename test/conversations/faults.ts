/** Planted faults: each takes one guard away from the bound by earlier counts. */
import { FINGERPRINT_CHARACTERS } from '../../src/openai/input-parts.ts';
import type { Fault } from './play.ts';
import { TOOL_NAME } from './upstreams.ts';

export const FAULTS: readonly Fault[] = [
  {
    name: 'reasoning that may have been left out is not added',
    habit: 'drops or keeps reasoning at random',
    use: (use) => ({ ...use, hasReasoning: false }),
  },
  {
    name: 'what a response says is believed though the call did not ask for it',
    habit: 'says the reasoning of the current turn, and sometimes reads all',
    use: (use) => ({ ...use, wanted: 'current_turn' }),
    body: (body) => ({ ...body, reasoning: { context: 'current_turn' } }),
  },
  {
    name: 'reasoning weighs nothing',
    habit: 'reads all reasoning again',
    beyond: (beyond) => ({
      ...beyond,
      reasoning: beyond.reasoning.map((each) => ({ ...each, tokens: 0 })),
    }),
  },
  {
    name: 'nothing is added for the frame of an item',
    habit: 'reads the JSON of each item, and frames it at its worst',
    parts: (parts) => ({ ...parts, weights: parts.weights.map((weight) => weight - 16) }),
  },
  {
    name: 'nothing is added for what a call hides',
    habit: 'writes a line with the date',
    bound: (bound) => bound - 64,
  },
  {
    name: 'answers weigh what was reported for them',
    habit: 'reads an answer as longer than it was written',
    parts: (parts, { input }, count) => ({
      ...parts,
      weights: parts.weights.map((weight, index) => {
        const item = input[index]!;
        return item.role === 'assistant' ? count(String(item.content)) : weight;
      }),
    }),
  },
  {
    name: 'the name of a tool is not added to its output',
    habit: 'heads the output of a tool with its name',
    parts: (parts, { input }) => ({
      ...parts,
      weights: parts.weights.map((weight, index) =>
        input[index]!.type === 'function_call_output' ? weight - 2 * TOOL_NAME.length : weight,
      ),
    }),
  },
  {
    name: 'images by their address are not added again',
    habit: 'finds a larger image at an address',
    beyond: (beyond) => ({
      ...beyond,
      images: beyond.images.map((image) => ({ ...image, size: { width: 2048, height: 768 } })),
    }),
  },
  {
    name: 'tools and instructions that were not counted cost nothing',
    habit: 'frames each item',
    parts: (parts) => ({ ...parts, elementWeights: parts.elementWeights.map(() => 0) }),
  },
  {
    name: 'tools and instructions are forgotten',
    habit: 'frames each item',
    parts: (parts) => ({ ...parts, elements: '0'.repeat(FINGERPRINT_CHARACTERS), elementWeights: [0] }),
  },
  {
    name: 'a call that may be cut is learned from',
    habit: 'leaves out the oldest items where it may',
    body: ({ truncation: _, ...body }) => body,
  },
];
