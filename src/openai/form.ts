/**
 * A body of `multipart/form-data` (RFC 7578) that came whole. Owns: its fields and files as every server reads them. Invariant:
 * what two servers may read in different ways is refused, because what is priced must be what is served: delimiters that stand
 * elsewhere too, names that stand twice, encodings, headers of parts that have no use.
 */
import { isUtf8 } from 'node:buffer';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { AudioLength, FormFile, JsonObject, Span } from './body.ts';

export interface Form {
  readonly fields: JsonObject;
  readonly files: readonly FormFile[];
  /** What starts each of its parts, to write one more. */
  readonly delimiter: string;
  /** Where its model stands in the body; null: it has none. */
  readonly model: Span | null;
}

/** What of a form is needed to send it. */
export interface FormEdits extends Pick<Form, 'delimiter' | 'model'> {
  readonly contentType: string;
}

const TYPE = /^multipart\/form-data; ?boundary=(?:"([^"]+)"|([^\s";,]+))$/i;
const BOUNDARY = /^[A-Za-z0-9'()+_,./:=?-]{1,70}$/;
const DISPOSITION =
  /^form-data; name="([^"\r\n]{1,200})"(?:; filename="([^"\r\n]{0,1000})"(?:; filename\*=[^";\r\n]{0,1000})?)?$/i;
const PARTS_MAX = 256;
const HEAD_BYTES_MAX = 8 * 1024;
const FIELD_BYTES_MAX = 1024 * 1024;
const DASHES = 0x2d2d;
const CRLF = 0x0d0a;

/** Returns the parts of a form, or why it is none that is read. */
export function readForm(contentType: string, body: Buffer): Form | ApiError {
  const [, quoted, plain] = TYPE.exec(contentType.trim()) ?? [];
  const boundary = quoted ?? plain ?? '';
  if (!BOUNDARY.test(boundary))
    return invalid('its content-type must be multipart/form-data with one plain boundary');
  const delimiter = `--${boundary}`;
  const reader = new FormReader();
  const mark = Buffer.from(delimiter);
  let at = body.indexOf(mark) === 0 ? 0 : -1;
  for (let parts = 0; at !== -1; parts++) {
    const start = at + mark.length;
    const follows = start + 2 <= body.length ? body.readUInt16BE(start) : -1;
    if (follows === DASHES) return reader.end(body, start + 2, delimiter);
    const next = body.indexOf(mark, start);
    // Before a delimiter is a line break, and nothing else is one.
    if (follows !== CRLF || next < start + 4 || body.readUInt16BE(next - 2) !== CRLF || parts >= PARTS_MAX)
      break;
    const why = reader.add(body, start + 2, next - 2);
    if (why !== null) return invalid(why);
    at = next;
  }
  return invalid(
    'its parts must stand between delimiters as RFC 2046 writes them, and the last must be ended',
  );
}

class FormReader {
  readonly #fields: JsonObject = Object.create(null);
  readonly #files: FormFile[] = [];
  #fieldBytes = 0;

  #model: Span | null = null;

  /** Adds a part; returns why it is not read. */
  add(body: Buffer, start: number, end: number): string | null {
    const part = body.subarray(start, end);
    const headEnd = part.subarray(0, HEAD_BYTES_MAX).indexOf('\r\n\r\n');
    if (headEnd === -1) return 'a part must have headers and an empty line';
    const value = part.subarray(headEnd + 4);
    const found = dispositionOf(part.toString('utf8', 0, headEnd));
    if (found === null)
      return 'a part must have one content-disposition of form-data with a name, and no encoding';
    const { name, isFile } = found;
    if (isFile) {
      this.#files.push({ name, bytes: value, audio: null });
      return null;
    }
    this.#fieldBytes += value.length;
    if (this.#fieldBytes > FIELD_BYTES_MAX) return `its fields may have ${FIELD_BYTES_MAX} bytes`;
    if (!isUtf8(value)) return 'a field must be UTF-8';
    if (name === 'model') this.#model = [end - value.length, end];
    return this.#field(name, value.toString());
  }

  #field(name: string, text: string): string | null {
    const bracket = name.indexOf('[');
    const base = bracket === -1 ? name : name.slice(0, bracket);
    if (bracket !== -1 && SINGLE.has(base)) return `'${base}' is one value`;
    const known = this.#fields[base];
    if (bracket === -1 && known !== undefined) return `'${base}' stands in it twice`;
    if (bracket === -1) {
      const value = fieldValue(base, text);
      if (value === undefined) return `'${base}' cannot be '${text.slice(0, 32)}'`;
      this.#fields[base] = value;
    } else if (known === undefined) this.#fields[base] = [text];
    else if (Array.isArray(known)) known.push(text);
    else return `'${base}' stands in it twice`;
    return null;
  }

  end(body: Buffer, at: number, delimiter: string): Form | ApiError {
    const isOver = at === body.length || (at + 2 === body.length && body.readUInt16BE(at) === CRLF);
    if (!isOver) return invalid('nothing may follow its last delimiter');
    return { fields: this.#fields, files: this.#files, delimiter, model: this.#model };
  }
}

/** Fields that are one value, whatever a server makes of brackets. */
const SINGLE = new Set(
  'file model n size quality stream partial_images response_format input_fidelity prompt user'.split(' '),
);
const NUMBERS = new Set(['n', 'partial_images']);

/** Returns the value that a field of a form stands for; undefined: it stands for none. */
function fieldValue(name: string, text: string): string | number | boolean | undefined {
  if (NUMBERS.has(name)) return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
  if (name !== 'stream') return text;
  return text === 'true' ? true : text === 'false' ? false : undefined;
}

function dispositionOf(head: string): { name: string; isFile: boolean } | null {
  let found: { name: string; isFile: boolean } | null = null;
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    const header = line.slice(0, colon).toLowerCase();
    if (header === 'content-type' || header === 'content-length') continue;
    const disposition =
      header === 'content-disposition' ? DISPOSITION.exec(line.slice(colon + 1).trim()) : null;
    const [, name = '', filename] = disposition ?? [];
    if (disposition === null || found !== null || name.includes('\\') || filename?.endsWith('\\'))
      return null;
    found = { name, isFile: filename !== undefined };
  }
  return found;
}

function invalid(why: string): ApiError {
  return apiError('invalid_request', `The form is not read: ${why}.`);
}

const MOVED = Buffer.alloc(0);

/** Returns the form with how long its audio is; the bytes of its files have moved with the body. */
export function withAudioLength(form: Form, audio: AudioLength): Form {
  const files = form.files.map((file) => ({
    ...file,
    bytes: MOVED,
    ...(file.name === 'file' ? { audio } : null),
  }));
  return { ...form, files };
}

/** Returns the body with another model, or with one where it has none. */
export function withModel({ delimiter, model }: FormEdits, name: string, body: Buffer): Buffer[] {
  if (model !== null) return [body.subarray(0, model[0]), Buffer.from(name), body.subarray(model[1])];
  return [
    Buffer.from(`${delimiter}\r\ncontent-disposition: form-data; name="model"\r\n\r\n${name}\r\n`),
    body,
  ];
}
