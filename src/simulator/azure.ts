/**
 * The dialect of Azure: `api-key` instead of a bearer key, deployments instead of models, its own errors, and a first chunk of
 * a stream that says what of the prompt was filtered. Its paths are `/openai/v1/…` and, with the version of the API,
 * `/openai/deployments/{deployment}/…`. Sources: Azure's reference of the API, v1 and 2024-10-21, read in November 2026.
 */
import type { IncomingMessage } from 'node:http';
import { isObject } from './fields.ts';

/** The model behind each deployment. */
export type Deployments = Readonly<Record<string, string>>;

/** An error in Azure's form. */
export interface AzureError {
  status: number;
  body: string;
}

function error(status: number, code: string, message: string): AzureError {
  return { status, body: JSON.stringify({ error: { code, message } }) };
}

const NO_KEY = error(
  401,
  '401',
  'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription.',
);
const NO_VERSION = error(404, '404', 'Resource not found');
const NO_DEPLOYMENT = error(
  404,
  'DeploymentNotFound',
  'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.',
);

export const PROMPT_FILTER_EVENT = `data: ${JSON.stringify({
  choices: [],
  created: 0,
  id: '',
  model: '',
  object: '',
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: {} }],
})}\n\n`;

const PATH = /^\/openai\/(?:v1|deployments\/([^/?]+))(\/[^?]*)(?:\?(.*))?$/;

/**
 * Turns a request into one of the API that is simulated otherwise: its path, its key, and the model of its deployment. Returns
 * the body to read, or the error to respond with.
 */
export function fromAzure(
  request: IncomingMessage,
  body: Buffer,
  deployments: Deployments,
): Buffer | AzureError {
  const [, inPath, path = '', query = ''] = PATH.exec(request.url ?? '') ?? [];
  if (path === '') return NO_VERSION;
  const { 'api-key': key } = request.headers;
  if (typeof key !== 'string' || key === '') return NO_KEY;
  if (inPath !== undefined && !new URLSearchParams(query).has('api-version')) return NO_VERSION;
  request.url = `/v1${path}`;
  request.headers.authorization = `Bearer ${key}`;
  if (request.method !== 'POST') return body;
  const json = parsed(body);
  if (!isObject(json)) return body;
  const name = inPath === undefined ? String(json.model) : decodeURIComponent(inPath);
  const model = deployments[name];
  return model === undefined ? NO_DEPLOYMENT : Buffer.from(JSON.stringify({ ...json, model }));
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}
