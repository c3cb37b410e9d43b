/** The Codex CLI with its built-in provider, on its default model and on one that searches the web unasked. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { homeOf, runCodex, textOf } from './codex.ts';
import { type Client, PIXEL, type Place, PROMPTS, testClients } from './scenarios.ts';

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

function client(model: keyof typeof TASKS, grantUsd: string, config = ''): Client {
  const run = (place: Place, parameters: string[], leave?: () => Promise<void>) => {
    const chosen = model === 'newest' ? [] : ['--model', model];
    return runCodex(place, [...chosen, ...parameters], { config, leave });
  };
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
      const file = join(homeOf(place.key), 'pixel.png');
      writeFileSync(file, Buffer.from(PIXEL.split(',')[1] ?? '', 'base64'));
      return textOf(await run(place, [PROMPTS.vision, '--image', file]));
    },
    async structured(place) {
      const file = join(homeOf(place.key), 'schema.json');
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
