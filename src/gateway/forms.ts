/** Forms with files, read whole before anything is held: what they cost may stand behind their files, and in them. */
import { ApiError, apiError } from '../domain/errors.ts';
import { readForm, withAudioLength } from '../openai/form.ts';
import type { Route } from '../openai/operations/paths.ts';
import { type ParsedRequest, readFormRequest } from '../openai/request.ts';
import type { Exchange } from '../wire/exchange.ts';
import type { GatewayDeps } from './deps.ts';

const FORM = /^multipart\/form-data\b/i;

/** Whether the body of a call is a form. */
export function isForm(exchange: Exchange): boolean {
  return FORM.test(exchange.header('content-type') ?? '');
}

/** Why a body of this type and encoding is not taken as a form; null: it is. */
export function whyNotForm({ descriptor }: Route, exchange: Exchange): ApiError | null {
  const { takesJson } = descriptor;
  if (!isForm(exchange)) {
    const wanted = takesJson ? 'multipart/form-data or application/json' : 'multipart/form-data';
    if (takesJson && /^application\/json\b/i.test(exchange.header('content-type') ?? '')) return null;
    return apiError('invalid_request', `The body must be ${wanted}, as the API documents it.`, {
      param: 'file',
    });
  }
  if (exchange.header('content-encoding') !== undefined)
    return apiError('invalid_request', 'A form is not read compressed: send it as it is.');
  return null;
}

/** Reads a form that came whole. */
export async function readWholeForm(
  deps: GatewayDeps,
  route: Route,
  contentType: string,
  body: Buffer,
): Promise<ParsedRequest | ApiError> {
  const form = readForm(contentType, body);
  if (form instanceof ApiError) return form;
  const file = form.files.find(({ name }) => name === 'file');
  if (file === undefined) return readFormRequest(route, contentType, form, body);
  const measured = await deps.audio.measure(body, file.bytes);
  if (measured.body === null)
    return apiError('invalid_request', "'file' cannot be read: its length was not found in time.", {
      param: 'file',
    });
  return readFormRequest(route, contentType, withAudioLength(form, measured.audio), measured.body);
}
