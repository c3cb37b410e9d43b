/** A body of `multipart/form-data` that came whole (RFC 7578). */

export interface Part {
  filename: string | null;
  bytes: Buffer;
}

/** Returns the parts by name, the last of a name where there are several; null: it is no such body. */
export function readMultipart(contentType: string, body: Buffer): Map<string, Part> | null {
  const boundary = /^multipart\/form-data\b.*?;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  if (boundary === null) return null;
  const delimiter = Buffer.from(`--${boundary[1] ?? boundary[2]}`);
  const parts = new Map<string, Part>();
  let at = body.indexOf(delimiter);
  while (at !== -1) {
    const headStart = at + delimiter.length + 2;
    const next = body.indexOf(delimiter, headStart);
    const headEnd = body.indexOf('\r\n\r\n', headStart);
    if (next === -1 || headEnd === -1 || headEnd > next) break;
    const head = body.toString('utf8', headStart, headEnd);
    const name = /\bname="([^"]*)"/i.exec(head)?.[1];
    const filename = /\bfilename="([^"]*)"/i.exec(head)?.[1] ?? null;
    if (name !== undefined) parts.set(name, { filename, bytes: body.subarray(headEnd + 4, next - 2) });
    at = next;
  }
  return parts;
}
