/** Questions of the gateway's own to the upstream: each is asked once, and ends in its time. */
import { isObject, type JsonObject, parseJson } from '../openai/body.ts';
import type { Upstream, UpstreamCall, UpstreamHandler } from '../wire/upstream.ts';

export interface ReaderOptions {
  upstream: Upstream;
  /** Its key among them, as name, value, name, value … */
  headers: readonly string[];
  /** Returns where it has a path; missing: there. */
  pathOf?: (path: string) => string;
  timeoutMs: number;
}

/** `status` 0: there was no whole response. */
export interface Reply {
  status: number;
  json: JsonObject | null;
}

/** A response may hold the images that it made. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;

export class UpstreamReader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /**
   * Asks for an object.
   * @param more headers of this question, as name, value, name, value …
   */
  async ask(method: 'GET' | 'POST', path: string, more: readonly string[] = []): Promise<Reply> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const status = await this.#send(method, path, more, (piece) => {
      bytes += piece.length;
      if (bytes > JSON_BYTES_MAX) throw new Error('the response is too long');
      pieces.push(piece);
    });
    const json = status === 0 ? undefined : parseJson(Buffer.concat(pieces).toString());
    return { status, json: isObject(json) ? json : null };
  }

  /** Reads a file as it comes, no faster than the call is let go on; returns whether all of it came. */
  async file(id: string, onData: (piece: Buffer, call: UpstreamCall) => void): Promise<boolean> {
    return (await this.#send('GET', `/files/${encodeURIComponent(id)}/content`, [], onData)) === 200;
  }

  #send(
    method: 'GET' | 'POST',
    path: string,
    more: readonly string[],
    onData: (piece: Buffer, call: UpstreamCall) => void,
  ): Promise<number> {
    const { upstream, headers: own, pathOf = (there) => there, timeoutMs } = this.#options;
    return new Promise((resolve) => {
      let status = 0;
      const end = (code: number) => {
        clearTimeout(deadline);
        resolve(code);
      };
      const deadline = setTimeout(() => call.abort(), timeoutMs);
      const handler: UpstreamHandler = {
        onHeaders: (code) => {
          status = code;
        },
        onData: (piece) => onData(piece, call),
        onEnd: () => end(status),
        onError: () => end(0),
      };
      const headers = [...own, ...more, 'accept-encoding', 'identity'];
      const call = upstream.send({ method, path: pathOf(path), headers, body: null }, handler);
    });
  }
}
