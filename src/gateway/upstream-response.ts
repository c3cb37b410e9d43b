/** What came back from the upstream. */
import type { MeteredResponse } from '../domain/usage.ts';

export type UpstreamHeaders = Record<string, string | string[] | undefined>;

/** The upstream's response, as far as it came. */
export interface UpstreamResponse {
  ending: 'complete' | 'unreachable' | 'interrupted' | 'timeout' | 'abandoned' | 'cut';
  /** 0 when no response began. */
  status: number;
  headers: UpstreamHeaders;
  /** The whole body where it was kept back until it is metered; null once it was relayed. */
  body: Buffer | null;
  /** The decoded body, to be metered; null where a stream's meter read along, or it cannot be read. */
  readable: Buffer | null;
  /** What the meter that read along found; null where there was none. */
  metered: MeteredResponse | null;
  /** An error event stood in the stream. */
  sawError: boolean;
  firstByteUs: number | null;
  totalUs: number;
}

/** Whether a response is a stream of server-sent events. */
export function isEventStream(headers: UpstreamHeaders): boolean {
  return String(headers['content-type'] ?? '').startsWith('text/event-stream');
}
