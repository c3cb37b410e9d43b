/** Conversations like those that clients make, with the texts of this repository. Deterministic. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

type JsonObject = Record<string, unknown>;
export interface Request {
  path: '/chat/completions' | '/responses';
  body: JsonObject & { model: string };
}
/** What a client does with an answer: it makes its next request, or ends. */
export type Client = Generator<Request, void, JsonObject>;

export const OUTPUT_LIMIT = 1024;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Code, prose, JSON and Chinese. */
const FILES = globSync(
  ['src/gateway/*.ts', 'docs/*.md', 'src/store/seed/*.json', 'src/console/messages/zh/*.ts'],
  { cwd: ROOT },
)
  .toSorted()
  .map((path) => readFileSync(ROOT + path, 'utf8'));

/** The same numbers in each run. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  between(least: number, most: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return least + Math.floor((this.#state / 2 ** 32) * (most - least + 1));
  }
}

/** What a tool returns: usually little, sometimes a long file. */
function toolResult(dice: Dice): string {
  const size = dice.between(1, 10) <= 8 ? dice.between(300, 4_000) : dice.between(4_000, 20_000);
  return textOf(dice, size);
}

function textOf(dice: Dice, size: number): string {
  const file = FILES[dice.between(0, FILES.length - 1)] ?? '';
  const start = dice.between(0, Math.max(0, file.length - size));
  return file.slice(start, start + size);
}

const SYSTEM =
  'You are a careful engineer in a repository of TypeScript. Read files before you change them, keep functions short, and run the tests of what you touched. '.repeat(
    30,
  );

const DESCRIPTIONS: Record<string, string> = {
  read_file: 'Reads a file of the repository and returns its text with the numbers of its lines.',
  write_file: 'Replaces the text of a file, or makes it. Folders are made where they are missing.',
  search: 'Searches all files for a regular expression and returns the lines that match, with their paths.',
  run: 'Runs a command in the shell of the repository and returns what it printed and its exit code.',
  list_files: 'Lists the files of a folder, down to a depth.',
  ask_user: 'Asks the user a question when the task cannot be decided without an answer.',
};

function tools(isChat: boolean): JsonObject[] {
  return Object.entries(DESCRIPTIONS).map(([name, description]) => {
    const parameters = {
      type: 'object',
      properties: {
        path: {
          type: 'string',
          description: 'Path from the root of the repository, without a leading slash.',
        },
        pattern: { type: 'string', description: 'A regular expression in the syntax of JavaScript.' },
        depth: { type: 'integer', description: 'How many levels of folders; 1 is the folder alone.' },
        mode: { type: 'string', enum: ['fast', 'whole'] },
      },
      required: ['path'],
      additionalProperties: false,
    };
    const definition = { name, description, parameters };
    return isChat ? { type: 'function', function: definition } : { type: 'function', ...definition };
  });
}

/** An agent of chat completions, whose history grows up to so many bytes; then it starts again. */
export function* chatAgent(
  model: string,
  turns: number,
  dice: Dice,
  bytesMost = Number.MAX_SAFE_INTEGER,
): Client {
  let messages: JsonObject[] = [];
  let bytes = 0;
  for (let turn = 0; turn < turns; turn++) {
    if (messages.length === 0) {
      const task = `Task ${dice.between(1, 1e9)}: mend the build. ${textOf(dice, 1_500)}`;
      messages = [
        { role: 'system', content: `You are engineer ${dice.between(1, 1e9)}. ${SYSTEM}` },
        { role: 'user', content: task },
      ];
      bytes = 0;
    }
    const answer = yield {
      path: '/chat/completions',
      body: { model, messages: [...messages], tools: tools(true), max_completion_tokens: OUTPUT_LIMIT },
    };
    const message = (answer.choices as { message: JsonObject }[])[0]!.message;
    const [call] = message.tool_calls as { id: string }[];
    const result = toolResult(dice);
    messages.push(message, { role: 'tool', tool_call_id: call!.id, content: result });
    bytes += Buffer.byteLength(result) + 2_000;
    if (bytes > bytesMost) messages = [];
  }
}

/** An agent of responses that keeps its history itself, with encrypted reasoning, up to so many bytes; then it starts again. */
export function* responsesAgent(
  model: string,
  turns: number,
  dice: Dice,
  bytesMost = Number.MAX_SAFE_INTEGER,
): Client {
  let input: JsonObject[] = [];
  let bytes = 0;
  for (let turn = 0; turn < turns; turn++) {
    if (input.length === 0) {
      input = [
        { role: 'user', content: `Task ${dice.between(1, 1e9)}: mend the build. ${textOf(dice, 1_500)}` },
      ];
      bytes = 0;
    }
    const body = { model, instructions: SYSTEM, input: [...input], tools: tools(false), store: false };
    const more = { include: ['reasoning.encrypted_content'], max_output_tokens: OUTPUT_LIMIT };
    const { output } = (yield { path: '/responses', body: { ...body, ...more } }) as { output: JsonObject[] };
    const call = output.at(-1) as { call_id: string };
    const result = toolResult(dice);
    input.push(...output, { type: 'function_call_output', call_id: call.call_id, output: result });
    bytes += Buffer.byteLength(result) + 2_000;
    if (bytes > bytesMost) input = [];
  }
}

/** First turns, one after the other: a question about a text, with tools or without. */
export function* firstTurns(model: string, count: number, dice: Dice): Generator<Request> {
  for (let turn = 0; turn < count; turn++) {
    const content = `Question ${turn}. ${textOf(dice, dice.between(1_000, 30_000))}`;
    const withTools = turn % 2 === 0 ? { tools: tools(turn % 4 === 0) } : {};
    const chat = {
      messages: [
        { role: 'system', content: `You are assistant ${turn}. ${SYSTEM}` },
        { role: 'user', content },
      ],
    };
    yield turn % 4 === 0 || turn % 4 === 1
      ? {
          path: '/chat/completions',
          body: { model, ...chat, ...withTools, max_completion_tokens: OUTPUT_LIMIT },
        }
      : {
          path: '/responses',
          body: {
            model,
            input: content,
            instructions: `${turn} ${SYSTEM}`,
            ...withTools,
            store: false,
            max_output_tokens: OUTPUT_LIMIT,
          },
        };
  }
}

/** A PNG of one colour; only its header is read. */
function png(width: number, height: number): string {
  const head = Buffer.alloc(33);
  head.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
  head.writeUInt32BE(width, 16);
  head.writeUInt32BE(height, 20);
  head.set([8, 2], 24);
  return `data:image/png;base64,${Buffer.concat([head, Buffer.alloc(30_000, 7)]).toString('base64')}`;
}

const SIZES: readonly [number, number][] = [
  [1, 1],
  [512, 512],
  [1024, 768],
  [800, 2000],
  [1920, 1080],
  [4000, 3000],
];

/** One image of each size, with a question. */
export function* images(model: string, dice: Dice): Generator<Request> {
  for (const [width, height] of SIZES) {
    const image = { type: 'image_url', image_url: { url: png(width, height), detail: 'high' } };
    const text = { type: 'text', text: `What is wrong in this screenshot? ${textOf(dice, 200)}` };
    yield {
      path: '/chat/completions',
      body: {
        model,
        messages: [{ role: 'user', content: [text, image] }],
        max_completion_tokens: OUTPUT_LIMIT,
      },
    };
  }
}

/** The same image of one pixel again and again. */
export function* pixels(model: string, count: number): Client {
  for (let call = 0; call < count; call++) {
    const image = { type: 'image_url', image_url: { url: png(1, 1) } };
    const text = { type: 'text', text: 'What do you see?' };
    yield {
      path: '/chat/completions',
      body: { model, messages: [{ role: 'user', content: [text, image] }], max_completion_tokens: 100 },
    };
  }
}
