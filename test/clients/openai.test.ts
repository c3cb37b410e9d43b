/** The part of `npm run test:clients` that needs no package beside those of the repository. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { chat, responses, type Sdk } from './openai.ts';
import { testClients } from './scenarios.ts';

testClients(
  {
    'openai 7, responses': () => responses(OpenAI),
    'openai 6, chat': () => chat(OpenAI6 as unknown as Sdk),
  },
  { instances: [2] },
);
