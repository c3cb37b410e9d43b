/** The Agents SDK for JavaScript, with its default model and API. */
import { installed } from './installed.ts';
import { Trip } from './openai.ts';
import { type Client, PIXEL, type Place, PROMPTS, testClients, WEATHER } from './scenarios.ts';

interface Result {
  finalOutput: unknown;
  history: unknown[];
}
interface Streamed extends AsyncIterable<{ type: string; data?: { type: string; delta?: string } }> {
  completed: Promise<void>;
}
interface Agents {
  Agent: new (options: object) => object;
  Runner: new (
    options: object,
  ) => {
    run(agent: object, input: unknown): Promise<Result>;
    run(agent: object, input: unknown, options: { stream: true; signal?: AbortSignal }): Promise<Streamed>;
  };
  OpenAIProvider: new (options: object) => object;
  tool(options: object): unknown;
  setTracingDisabled(disabled: boolean): void;
}
interface Zod {
  object(shape: object): unknown;
  string(): unknown;
}

const { agents, zod } = await installed<{ agents: Agents; zod: { z: Zod } }>();
// They would go to OpenAI's own host.
agents.setTracingDisabled(true);

function client(useResponses: boolean): Client {
  const runner = ({ baseUrl, key }: Place) =>
    new agents.Runner({
      modelProvider: new agents.OpenAIProvider({ baseURL: baseUrl, apiKey: key, useResponses }),
    });
  const agent = (options: object = {}) => new agents.Agent({ name: 'helper', ...options });
  const tool = (calls: string[], name: string, field: string) =>
    agents.tool({
      name,
      description: name,
      parameters: zod.z.object({ [field]: zod.z.string() }),
      async execute(given: Record<string, string>) {
        calls.push(`${name}(${given[field]})`);
        return WEATHER;
      },
    });
  const user = (content: unknown) => ({ role: 'user', content });
  return {
    first: async (place) => String((await runner(place).run(agent(), PROMPTS.first)).finalOutput),
    async tools(place) {
      const calls: string[] = [];
      const tools = [tool(calls, 'get_weather', 'city'), tool(calls, 'get_time', 'zone')];
      await runner(place).run(agent({ tools }), PROMPTS.tools);
      return calls;
    },
    async turns(place) {
      let history: unknown[] = [];
      const texts: string[] = [];
      for (const prompt of PROMPTS.turns) {
        const result = await runner(place).run(agent(), [...history, user(prompt)]);
        history = result.history;
        texts.push(String(result.finalOutput));
      }
      return texts;
    },
    async vision(place) {
      const content = [
        { type: 'input_text', text: PROMPTS.vision },
        { type: 'input_image', image: PIXEL },
      ];
      return String((await runner(place).run(agent(), [user(content)])).finalOutput);
    },
    async structured(place) {
      return (await runner(place).run(agent({ outputType: Trip }), PROMPTS.structured)).finalOutput;
    },
    async stream(place) {
      const pieces: string[] = [];
      const stream = await runner(place).run(agent(), PROMPTS.stream, { stream: true });
      for await (const { data } of stream)
        if (data?.type === 'output_text_delta') pieces.push(data.delta ?? '');
      await stream.completed;
      return pieces;
    },
    async cancel(place) {
      const abort = new AbortController();
      const stream = await runner(place).run(agent(), PROMPTS.stream, { stream: true, signal: abort.signal });
      for await (const { data } of stream) if (data?.type === 'output_text_delta') abort.abort();
    },
    deniedRequests: 1,
    denied: /^(RateLimitError|Error): 429 .*grant/s,
    shortened: /\S/,
  };
}

testClients({ '@openai/agents, responses': () => client(true), '@openai/agents, chat': () => client(false) });
