/** The SDK of OpenAI for Node: chat completions, and responses with what the API keeps. */
import type OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { type Client, PIXEL, type Place, PROMPTS, WEATHER } from './scenarios.ts';

const CHAT_MODEL = 'gpt-4.1-mini';
export const REASONING_MODEL = 'gpt-5.6-terra';

export const Trip = z.object({ city: z.string(), days: z.int(), tags: z.array(z.string()) });
const object = (name: string) => ({
  type: 'object',
  properties: { [name]: { type: 'string' } },
  required: [name],
  additionalProperties: false,
});
const FUNCTIONS = [
  { name: 'get_weather', description: 'The weather of a city.', parameters: object('city') },
  { name: 'get_time', description: 'The time of a zone.', parameters: object('zone') },
];
const said = (name: string, json: string) => `${name}(${Object.values(JSON.parse(json) as object)[0]})`;

/** Both major versions have the methods that are used. */
export type Sdk = new (options: { baseURL: string; apiKey: string }) => OpenAI;

const DENIED = { deniedRequests: 1, denied: /^(RateLimitError|Error): 429 .*grant/s };

export function chat(Class: Sdk): Client {
  const at = ({ baseUrl, key }: Place) => new Class({ baseURL: baseUrl, apiKey: key }).chat.completions;
  const user = (content: string) => ({ role: 'user' as const, content });
  const ask = async (place: Place, messages: OpenAI.ChatCompletionMessageParam[], model = CHAT_MODEL) => {
    const { choices } = await at(place).create({ model, messages });
    return choices[0]!;
  };
  return {
    first: async (place) => (await ask(place, [user(PROMPTS.first)])).message.content ?? '',
    async tools(place) {
      const calls: string[] = [];
      const run = at(place).runTools({
        model: REASONING_MODEL,
        messages: [user(PROMPTS.tools)],
        tools: FUNCTIONS.map((one) => ({
          type: 'function' as const,
          function: {
            ...one,
            function(json: string) {
              calls.push(said(one.name, json));
              return WEATHER;
            },
          },
        })),
      });
      await run.finalContent();
      return calls;
    },
    async turns(place) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [];
      const texts: string[] = [];
      for (const prompt of PROMPTS.turns) {
        messages.push(user(prompt));
        const { message } = await ask(place, messages, REASONING_MODEL);
        messages.push(message);
        texts.push(message.content ?? '');
      }
      return texts;
    },
    async vision(place) {
      const content = [
        { type: 'text' as const, text: PROMPTS.vision },
        { type: 'image_url' as const, image_url: { url: PIXEL } },
      ];
      return (await ask(place, [{ role: 'user', content }])).message.content ?? '';
    },
    async structured(place) {
      const messages = [user(PROMPTS.structured)];
      const format = zodResponseFormat(Trip, 'trip');
      const made = await at(place).parse({ model: CHAT_MODEL, messages, response_format: format });
      return made.choices[0]?.message.parsed;
    },
    async stream(place) {
      const pieces: string[] = [];
      const stream = await at(place).create({
        model: CHAT_MODEL,
        messages: [user(PROMPTS.stream)],
        stream: true,
      });
      for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta.content ?? '');
      return pieces;
    },
    async cancel(place) {
      const stream = await at(place).create({
        model: CHAT_MODEL,
        messages: [user(PROMPTS.stream)],
        stream: true,
      });
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    },
    ended: async (place) => (await ask(place, [user(PROMPTS.first)])).finish_reason,
    ...DENIED,
    shortened: /^length$/,
  };
}

export function responses(Class: Sdk): Client {
  const at = ({ baseUrl, key }: Place) => new Class({ baseURL: baseUrl, apiKey: key }).responses;
  return {
    first: async (place) =>
      (await at(place).create({ model: REASONING_MODEL, input: PROMPTS.first })).output_text,
    /** The loop of the guide to function calling: outputs are appended to the input. */
    async tools(place) {
      const tools = FUNCTIONS.map((one) => ({ type: 'function' as const, strict: true, ...one }));
      const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: PROMPTS.tools }];
      const calls: string[] = [];
      for (;;) {
        const { output } = await at(place).create({ model: REASONING_MODEL, input, tools });
        input.push(...(output as OpenAI.Responses.ResponseInput));
        const asked = output.filter((item) => item.type === 'function_call');
        if (asked.length === 0) return calls;
        for (const { name, arguments: json, call_id } of asked) {
          calls.push(said(name, json));
          input.push({ type: 'function_call_output', call_id, output: WEATHER });
        }
      }
    },
    async turns(place) {
      const texts: string[] = [];
      let previous_response_id: string | null = null;
      for (const input of PROMPTS.turns) {
        const made: OpenAI.Responses.Response = await at(place).create({
          model: REASONING_MODEL,
          input,
          previous_response_id,
        });
        previous_response_id = made.id;
        texts.push(made.output_text);
      }
      return texts;
    },
    async vision(place) {
      const content: OpenAI.Responses.ResponseInputContent[] = [
        { type: 'input_text', text: PROMPTS.vision },
        { type: 'input_image', image_url: PIXEL, detail: 'auto' },
      ];
      return (await at(place).create({ model: REASONING_MODEL, input: [{ role: 'user', content }] }))
        .output_text;
    },
    async structured(place) {
      const text = { format: zodTextFormat(Trip, 'trip') };
      return (await at(place).parse({ model: REASONING_MODEL, input: PROMPTS.structured, text }))
        .output_parsed;
    },
    async stream(place) {
      const pieces: string[] = [];
      const stream = at(place).stream({ model: REASONING_MODEL, input: PROMPTS.stream });
      stream.on('response.output_text.delta', ({ delta }) => pieces.push(delta));
      await stream.finalResponse();
      return pieces;
    },
    async cancel(place) {
      const stream = await at(place).create({ model: REASONING_MODEL, input: PROMPTS.stream, stream: true });
      for await (const event of stream) if (event.type === 'response.output_text.delta') break;
    },
    async ended(place) {
      const made = await at(place).create({ model: REASONING_MODEL, input: PROMPTS.first });
      return `${made.status}: ${made.incomplete_details?.reason}`;
    },
    ...DENIED,
    shortened: /^incomplete: max_output_tokens$/,
  };
}
