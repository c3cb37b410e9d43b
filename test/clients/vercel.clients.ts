/** The Vercel AI SDK with its provider for OpenAI: responses, which is its default, and chat. */
import { installed } from './installed.ts';
import { REASONING_MODEL, Trip } from './openai.ts';
import { type Client, PIXEL, type Place, PROMPTS, testClients, WEATHER } from './scenarios.ts';

type Messages = { role: string; content: unknown }[];
interface Generated {
  text: string;
  finishReason: string;
  output: unknown;
  response: { messages: Messages };
}
interface Ai {
  generateText(options: object): Promise<Generated>;
  streamText(options: object): { textStream: AsyncIterable<string> };
  isStepCount(count: number): unknown;
  tool(options: object): unknown;
  Output: { object(options: object): unknown };
}
interface Vercel {
  createOpenAI(options: object): ((model: string) => unknown) & { chat(model: string): unknown };
}
interface Zod {
  object(shape: object): unknown;
  string(): unknown;
}

const { ai, vercel, zod } = await installed<{ ai: Ai; vercel: Vercel; zod: { z: Zod } }>();

function client(isChat: boolean): Client {
  const model = ({ baseUrl, key }: Place) => {
    const provider = vercel.createOpenAI({ baseURL: baseUrl, apiKey: key });
    return isChat ? provider.chat(REASONING_MODEL) : provider(REASONING_MODEL);
  };
  const ask = (place: Place, options: object) => ai.generateText({ model: model(place), ...options });
  const tool = (calls: string[], name: string, field: string) =>
    ai.tool({
      description: name,
      inputSchema: zod.z.object({ [field]: zod.z.string() }),
      execute(given: Record<string, string>) {
        calls.push(`${name}(${given[field]})`);
        return WEATHER;
      },
    });
  return {
    first: async (place) => (await ask(place, { prompt: PROMPTS.first })).text,
    async tools(place) {
      const calls: string[] = [];
      const tools = {
        get_weather: tool(calls, 'get_weather', 'city'),
        get_time: tool(calls, 'get_time', 'zone'),
      };
      await ask(place, { prompt: PROMPTS.tools, tools, stopWhen: ai.isStepCount(5) });
      return calls;
    },
    async turns(place) {
      const messages: Messages = [];
      const texts: string[] = [];
      for (const content of PROMPTS.turns) {
        messages.push({ role: 'user', content });
        const { text, response } = await ask(place, { messages });
        messages.push(...response.messages);
        texts.push(text);
      }
      return texts;
    },
    async vision(place) {
      const content = [
        { type: 'text', text: PROMPTS.vision },
        { type: 'image', image: PIXEL },
      ];
      return (await ask(place, { messages: [{ role: 'user', content }] })).text;
    },
    async structured(place) {
      const output = ai.Output.object({ schema: Trip });
      return (await ask(place, { prompt: PROMPTS.structured, output })).output;
    },
    async stream(place) {
      const pieces: string[] = [];
      for await (const piece of ai.streamText({ model: model(place), prompt: PROMPTS.stream }).textStream) {
        pieces.push(piece);
      }
      return pieces;
    },
    async cancel(place) {
      const abort = new AbortController();
      const options = { model: model(place), prompt: PROMPTS.stream, abortSignal: abort.signal };
      for await (const piece of ai.streamText(options).textStream) if (piece !== '') abort.abort();
    },
    ended: async (place) => (await ask(place, { prompt: PROMPTS.first })).finishReason,
    // It repeats whatever is 429, and does not read `x-should-retry`.
    deniedRequests: 3,
    denied: /^AI_RetryError: Failed after 3 attempts\. Last error: .*grant/s,
    shortened: /^length$/,
  };
}

testClients({ 'ai 7, responses': () => client(false), 'ai 7, chat': () => client(true) });
