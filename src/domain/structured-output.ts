/**
 * Which models keep a JSON Schema in what they write and in the arguments of tools (`json_schema`, `strict: true`), as of 28 November
 * 2026. Source: platform.openai.com/docs/guides/structured-outputs ("starting with GPT-4o") and the page of each model. Unknown is no.
 */
import { includesModel } from './price.ts';

const MODELS = [
  ...['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-4.1-mini', 'gpt-4.1-nano'],
  ...['o1', 'o3', 'o3-mini', 'o4-mini'],
  ...['gpt-5', 'gpt-5-mini', 'gpt-5-nano', 'gpt-5.1', 'gpt-5.2'],
];
/** The snapshot of before. */
const OLDER = 'gpt-4o-2024-05-13';

export function takesStructuredOutput(model: string): boolean {
  return model !== OLDER && includesModel(MODELS, model);
}
