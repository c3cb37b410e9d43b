/**
 * Checks of whether an image or audio was made by OpenAI's models. No price of one is published: they are refused until an
 * administrator has given one.
 */
import type { Bounds, Fields } from '../body.ts';
import { metered } from './descriptor.ts';

const pricedAs = 'content_provenance_check';
/** The API names no size; an image that it makes or edits has at most 50 MB. The form is held in memory. */
const FORM_BYTES = 50 * 1024 * 1024;

export const PROVENANCE = [
  metered({
    name: 'content_provenance_checks',
    path: '/content_provenance_checks',
    request: 'form',
    bodyBytesMax: FORM_BYTES,
    pricedAs,
    bound: readCheck,
    usage: null,
    otel: 'content_provenance_checks',
  }),
];

/** A call is a check. */
function readCheck(fields: Fields): Bounds {
  const [file, ...others] = fields.files;
  if (file?.name !== 'file' || others.length > 0)
    fields.invalid('file', "'file' must be one image or file of audio.");
  const usage = { provenance_checks: 1 };
  const media = { otherBounds: usage, stated: { usage, isExact: true }, pricedAs };
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0, media };
}
