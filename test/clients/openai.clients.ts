import OpenAI6 from 'openai6';
import { installed } from './installed.ts';
import { chat, responses, type Sdk } from './openai.ts';
import { testClients } from './scenarios.ts';

const { openai } = await installed<{ openai: { default: Sdk } }>();

testClients({
  'openai 7 (Node), chat': () => chat(openai.default),
  'openai 7 (Node), responses': () => responses(openai.default),
  'openai 6 (Node), chat': () => chat(OpenAI6 as unknown as Sdk),
  'openai 6 (Node), responses': () => responses(OpenAI6 as unknown as Sdk),
});
