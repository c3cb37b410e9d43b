/** The Codex CLI with its built-in provider, on its default model and on one that searches the web unasked. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inject } from 'vitest';
import { type Client, PIXEL, type Place, PROMPTS, testClients } from './scenarios.ts';

const { folder } = inject('clients');
const CODEX = join(folder, 'node_modules', '.bin', 'codex');

const SCHEMA = {
  type: 'object',
  properties: {
    city: { type: 'string' },
    days: { type: 'integer' },
    tags: { type: 'array', items: { type: 'string' } },
  },
  required: ['city', 'days', 'tags'],
  additionalProperties: false,
};

/** The calls of its task. The newest models run JavaScript, which runs commands; those before run commands. */
const COMMANDS = ['get_weather(Paris)', 'get_time(CET)', 'get_weather(Rome)'].map((call) => `echo '${call}'`);
const INPUTS = COMMANDS.map((cmd) => `text(await tools.exec_command({cmd: ${JSON.stringify(cmd)}}))`);
const TASKS = {
  newest: INPUTS.map((input) => `exec ${JSON.stringify(input)}`).join(', then '),
  'gpt-5.5': COMMANDS.map((cmd) => `exec_command ${JSON.stringify({ cmd })}`).join(', then '),
};

interface Event {
  type: string;
  message?: string;
  error?: { message: string };
  item?: { type: string; text?: string; aggregated_output?: string; exit_code?: number };
}

/** A home and a folder of work for each key. */
function homeOf({ baseUrl, key }: Place, config: string): string {
  const path = join(folder, 'codex', createHash('sha256').update(key).digest('hex').slice(0, 16));
  mkdirSync(join(path, 'work'), { recursive: true });
  writeFileSync(join(path, 'config.toml'), `openai_base_url = "${baseUrl}"\n${config}`);
  return path;
}

function client(model: keyof typeof TASKS, grantUsd: string, config = ''): Client {
  /** Runs it once, and returns its events. Rejects with what it says where its turn failed. */
  const run = async (place: Place, parameters: string[], leave?: () => Promise<void>): Promise<Event[]> => {
    const path = homeOf(place, config);
    const chosen = model === 'newest' ? [] : ['--model', model];
    const flags = ['--json', '--skip-git-repo-check', ...chosen];
    const child = spawn(CODEX, ['exec', ...flags, ...parameters], {
      cwd: join(path, 'work'),
      env: { PATH: process.env.PATH, HOME: path, CODEX_HOME: path, CODEX_API_KEY: place.key },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 100_000,
    });
    const events: Event[] = [];
    const exited = once(child, 'exit');
    if (leave !== undefined) {
      await leave();
      child.kill('SIGINT');
    }
    for await (const line of createInterface(child.stdout)) events.push(JSON.parse(line) as Event);
    await exited;
    const failed = events.find(({ type }) => type === 'turn.failed');
    if (failed !== undefined && leave === undefined) throw new Error(failed.error?.message);
    return events;
  };
  const textOf = (events: Event[]) =>
    events.findLast(({ item }) => item?.type === 'agent_message')?.item?.text ?? '';
  return {
    grantUsd,
    first: async (place) => textOf(await run(place, [PROMPTS.first])),
    async tools(place) {
      const events = await run(place, [TASKS[model]]);
      const commands = events.filter(({ type, item }) => type === 'item.completed' && item?.exit_code === 0);
      return commands.map(({ item }) => item?.aggregated_output?.trim() ?? '');
    },
    async turns(place) {
      const texts: string[] = [];
      for (const [index, prompt] of PROMPTS.turns.entries()) {
        texts.push(textOf(await run(place, index === 0 ? [prompt] : ['resume', '--last', prompt])));
      }
      return texts;
    },
    async vision(place) {
      const file = join(homeOf(place, config), 'pixel.png');
      writeFileSync(file, Buffer.from(PIXEL.split(',')[1] ?? '', 'base64'));
      return textOf(await run(place, [PROMPTS.vision, '--image', file]));
    },
    async structured(place) {
      const file = join(homeOf(place, config), 'schema.json');
      writeFileSync(file, JSON.stringify(SCHEMA));
      return JSON.parse(textOf(await run(place, ['--output-schema', file, PROMPTS.structured])));
    },
    // It streams always, and prints what is whole.
    stream: async (place) => (await run(place, [PROMPTS.stream])).map((event) => JSON.stringify(event)),
    cancel: async (place) => void (await run(place, [PROMPTS.stream], () => place.underWay())),
    // Two WebSockets: the first is made ready, which is denied too.
    deniedRequests: 2,
    denied: /quota/i,
    shortened: /max_output_tokens/,
    shortUsd: '0.60',
  };
}

const NO_SEARCH = 'web_search = "disabled"\n';

testClients({
  'Codex 0.171.0': () => client('newest', '200.00'),
  'Codex 0.171.0, $18, no search': () => client('newest', '18.00', NO_SEARCH),
  // Its searches are held at the model's window each: where there is no money for one it is refused, and said why.
  'Codex 0.171.0, gpt-5.5': () => ({
    ...client('gpt-5.5', '200.00'),
    denied: /web search .*docs\/CLIENTS\.md/s,
    shortUsd: '25.00',
  }),
  'Codex 0.171.0, gpt-5.5, $18, no search': () => client('gpt-5.5', '18.00', NO_SEARCH),
});
