/** LangChain for JavaScript: chat, which is its default, and responses, which it takes by itself from gpt-5.6 on. */
import { installed } from './installed.ts';
import { REASONING_MODEL, Trip } from './openai.ts';
import { type Client, PIXEL, type Place, PROMPTS, testClients, WEATHER } from './scenarios.ts';

interface Message {
  text: string;
  tool_calls?: { name: string; args: Record<string, unknown>; id: string }[];
  response_metadata: Record<string, unknown>;
}
interface Model {
  invoke(messages: unknown): Promise<Message>;
  stream(messages: unknown, options?: object): Promise<AsyncIterable<Message>>;
  bindTools(tools: unknown[]): Model;
  withStructuredOutput(schema: unknown): { invoke(messages: unknown): Promise<unknown> };
}
interface Core {
  HumanMessage: new (content: unknown) => Message;
  ToolMessage: new (fields: object) => Message;
}
interface Tools {
  tool(run: (given: Record<string, string>) => string, options: object): { name: string };
}
interface Zod {
  object(shape: object): unknown;
  string(): unknown;
}

const { langchain, core, tools, zod } = await installed<{
  langchain: { ChatOpenAI: new (options: object) => Model };
  core: Core;
  tools: Tools;
  zod: { z: Zod };
}>();

function client(useResponsesApi: boolean): Client {
  const at = ({ baseUrl, key }: Place): Model =>
    new langchain.ChatOpenAI({
      model: useResponsesApi ? REASONING_MODEL : 'gpt-5-mini',
      apiKey: key,
      configuration: { baseURL: baseUrl },
    });
  const user = (content: unknown) => new core.HumanMessage(content);
  const tool = (name: string, field: string) =>
    tools.tool(() => WEATHER, { name, description: name, schema: zod.z.object({ [field]: zod.z.string() }) });
  return {
    first: async (place) => (await at(place).invoke(PROMPTS.first)).text,
    async tools(place) {
      const model = at(place).bindTools([tool('get_weather', 'city'), tool('get_time', 'zone')]);
      const messages = [user(PROMPTS.tools)];
      const calls: string[] = [];
      for (;;) {
        const message = await model.invoke(messages);
        messages.push(message);
        if (!message.tool_calls?.length) return calls;
        for (const { name, args, id } of message.tool_calls) {
          calls.push(`${name}(${Object.values(args)[0]})`);
          messages.push(new core.ToolMessage({ content: WEATHER, tool_call_id: id }));
        }
      }
    },
    async turns(place) {
      const messages: Message[] = [];
      const texts: string[] = [];
      for (const prompt of PROMPTS.turns) {
        messages.push(user(prompt));
        const message = await at(place).invoke(messages);
        messages.push(message);
        texts.push(message.text);
      }
      return texts;
    },
    async vision(place) {
      const content = [
        { type: 'text', text: PROMPTS.vision },
        { type: 'image_url', image_url: { url: PIXEL } },
      ];
      return (await at(place).invoke([user(content)])).text;
    },
    structured: (place) => at(place).withStructuredOutput(Trip).invoke(PROMPTS.structured),
    async stream(place) {
      const pieces: string[] = [];
      for await (const { text } of await at(place).stream(PROMPTS.stream)) pieces.push(text);
      return pieces.filter((piece) => piece !== '');
    },
    async cancel(place) {
      const abort = new AbortController();
      try {
        const stream = await at(place).stream(PROMPTS.stream, { signal: abort.signal });
        for await (const { text } of stream) if (text !== '') abort.abort();
      } catch (error) {
        if (!abort.signal.aborted) throw error;
      }
    },
    ended: async (place) => JSON.stringify((await at(place).invoke(PROMPTS.first)).response_metadata),
    deniedRequests: 1,
    denied: /429 .*grant/s,
    shortened: useResponsesApi ? /max_output_tokens/ : /"finish_reason":"length"/,
  };
}

testClients({
  '@langchain/openai, chat': () => client(false),
  '@langchain/openai, responses': () => client(true),
});
