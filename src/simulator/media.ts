/**
 * Audio and images: speech, transcriptions, translations, generations, edits, variations and checks of their provenance. All of it is planned and billed
 * before the first byte.
 */
import { type ApiError, INVALID_JSON, isApiError, unknownModel } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { errorOfFault, htmlStatus } from './faults.ts';
import { isObject } from './fields.ts';
import { planSpeech, planTranscript } from './media-audio.ts';
import { readFormBody } from './media-form.ts';
import { planImages } from './media-images.ts';
import { type MediaPlan, type MediaRequest, missingField, usageOf } from './media-plan.ts';

type Planner = (request: MediaRequest) => MediaPlan | ApiError | Promise<MediaPlan | ApiError>;

const PLANNERS: Record<string, [name: string, plan: Planner]> = {
  '/v1/audio/speech': ['audio.speech', planSpeech],
  '/v1/audio/transcriptions': ['audio.transcriptions', (request) => planTranscript(request, false)],
  '/v1/audio/translations': ['audio.translations', (request) => planTranscript(request, true)],
  '/v1/images/generations': ['images.generations', (request) => planImages(request, 'image_generation')],
  '/v1/images/edits': ['images.edits', (request) => planImages(request, 'image_edit')],
  '/v1/content_provenance_checks': ['content_provenance_checks', planCheck],
  '/v1/images/variations': ['images.variations', (request) => planImages(request, 'image_edit')],
};

export function isMedia(method: string | undefined, path: string): boolean {
  return method === 'POST' && Object.hasOwn(PLANNERS, path);
}

export async function handleMedia(exchange: Exchange, path: string, bytes: Buffer): Promise<void> {
  const { entry, state, directives, request } = exchange;
  const [name, planner] = PLANNERS[path] ?? ['', () => unknownModel('')];
  entry.operation = name;
  const type = String(request.headers['content-type'] ?? '');
  const sent = type.startsWith('multipart/') ? readFormBody(type, bytes) : readJson(bytes);
  const worst = (directives.mode ?? state.mode) === 'worst';
  const plan = isApiError(sent) ? sent : await planner({ exchange, ...sent, worst });
  if (isApiError(plan)) {
    exchange.fault = null;
    exchange.respondError(plan);
    return;
  }
  entry.model = plan.model;
  const { fault } = exchange;
  const faultError = fault && errorOfFault(fault.name);
  const html = fault && htmlStatus(fault.name);
  const costPicoUsd = fault && !fault.billed ? 0n : plan.costPicoUsd;
  if (faultError) exchange.respondError(faultError);
  else {
    if (!fault || fault.billed) {
      entry.usage = plan.usage;
      entry.units = plan.units;
    }
    if (fault?.name === 'cut_before_headers' || fault?.name === 'hang') exchange.vanish(costPicoUsd);
    else if (html) exchange.send(html, 'text/html', `<html>${html}</html>`, costPicoUsd);
    else exchange.send(200, plan.contentType, plan.body, costPicoUsd);
  }
}

/** No price is published: this is the simulator's own. */
const CHECK_PICO_USD = 2_000_000_000n;

function planCheck({ files }: MediaRequest): MediaPlan | ApiError {
  if (!files.some(({ name }) => name === 'file')) return missingField('file');
  const results = [{ type: 'synthid', result: 'not_detected' }];
  const check = { object: 'content_provenance_check', created_at: Math.floor(Date.now() / 1000), results };
  return {
    ...{ model: 'content_provenance_check', usage: usageOf(0, 0), units: { unit: 'checks', amount: 1 } },
    ...{ costPicoUsd: CHECK_PICO_USD, contentType: 'application/json', body: JSON.stringify(check) },
  };
}

function readJson(bytes: Buffer): Pick<MediaRequest, 'body' | 'files'> | ApiError {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    return isObject(body) ? { body, files: [] } : INVALID_JSON;
  } catch {
    return INVALID_JSON;
  }
}
