/** Embeddings, moderations and the list of models on the wire. */

import { type ApiError, unknownModel } from './errors.ts';
import type { Output } from './output.ts';
import { findModel, MODEL_NAMES } from './prices.ts';

const VECTORS = new Map<string, string>();

/** One unit vector for each length and format: embeddings are judged by their bill, not by their meaning. */
function vectorJson(dimensions: number, format: unknown): string {
  const key = `${dimensions}:${String(format)}`;
  let json = VECTORS.get(key);
  if (json === undefined) {
    const vector = new Float32Array(dimensions).fill(1 / Math.sqrt(dimensions));
    const base64 = Buffer.from(vector.buffer).toString('base64');
    json = JSON.stringify(format === 'base64' ? base64 : [...vector]);
    VECTORS.set(key, json);
  }
  return json;
}

export function embeddingJson(output: Output): string {
  const { call } = output;
  const usual = call.model.name.endsWith('-large') ? 3072 : 1536;
  const vector = vectorJson(Number(call.body.dimensions ?? usual), call.body.encoding_format);
  const data = Array.from(
    { length: call.prompts },
    (_, index) => `{"object":"embedding","index":${index},"embedding":${vector}}`,
  );
  const { input_tokens } = output.plan.usage;
  const usage = output.withUsage
    ? `,"usage":{"prompt_tokens":${input_tokens},"total_tokens":${input_tokens}}`
    : '';
  return `{"object":"list","data":[${data.join(',')}],"model":${JSON.stringify(call.servedName)}${usage}}\n`;
}

const CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm',
  'self-harm/instructions',
  'self-harm/intent',
  'sexual',
  'sexual/minors',
  'violence',
  'violence/graphic',
];

const each = <Value>(value: Value) => Object.fromEntries(CATEGORIES.map((name) => [name, value]));
const UNFLAGGED = {
  flagged: false,
  categories: each(false),
  category_scores: each(0.0001),
  category_applied_input_types: each(['text']),
};

export function moderationJson({ id, call }: Output): string {
  const results = Array.from({ length: call.prompts }, () => UNFLAGGED);
  return JSON.stringify({ id: `modr-${id}`, model: call.servedName, results });
}

/** Of one model, the day of the specification's example. */
const SHUT_DOWN = 'gpt-4';
const SHUTDOWN_DATE = '2026-10-23';

function modelObject(id: string): object {
  const shutdown_date = id === SHUT_DOWN ? SHUTDOWN_DATE : null;
  return { id, object: 'model', created: 1_686_935_002, owned_by: 'system', shutdown_date };
}

/** @param trained names of the models that jobs have made */
export function modelListJson(trained: readonly string[]): string {
  return JSON.stringify({ object: 'list', data: [...MODEL_NAMES, ...trained].map(modelObject) });
}

export function modelJson(name: string): string | ApiError {
  return findModel(name) ? JSON.stringify(modelObject(name)) : unknownModel(name);
}
