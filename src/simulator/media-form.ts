/** Forms of audio and images: all parts in their order, several of a name among them. */
import { type ApiError, invalidRequest } from './errors.ts';
import type { JsonObject } from './fields.ts';
import type { MediaRequest } from './media-plan.ts';

/** Reads a form leniently, as many servers do: the last field of a name counts. */
export function readFormBody(type: string, bytes: Buffer): Pick<MediaRequest, 'body' | 'files'> | ApiError {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  if (boundary === null) return invalidRequest('The form has no boundary.');
  const delimiter = Buffer.from(`--${boundary[1] ?? boundary[2]}`);
  const body: JsonObject = {};
  const files: MediaRequest['files'] = [];
  let at = bytes.indexOf(delimiter);
  while (at !== -1) {
    const next = bytes.indexOf(delimiter, at + delimiter.length);
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (next === -1 || headEnd === -1 || headEnd > next) break;
    const head = bytes.toString('utf8', at, headEnd);
    const name = /\bname="([^"]*)"/i.exec(head)?.[1] ?? '';
    const filename = /\bfilename="([^"]*)"/i.exec(head)?.[1] ?? null;
    const value = bytes.subarray(headEnd + 4, next - 2);
    if (filename === null) body[name.replace(/\[.*$/, '')] = typed(name, value.toString());
    else files.push({ name, filename, bytes: value });
    at = next;
  }
  return { body, files };
}

function typed(name: string, text: string): unknown {
  if (name === 'n' || name === 'partial_images') return Number(text);
  return name === 'stream' ? text === 'true' : text;
}
