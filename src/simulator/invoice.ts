/**
 * The invoice: what this upstream billed, in the order in which it committed to. A line is written before the
 * response's first byte and never changes, except `completed`, and what is billed where the upstream stops with its client. Memory is bounded: the oldest lines are dropped, the
 * total stays.
 */
import type { Usage } from './prices.ts';

export interface InvoiceLine {
  /** Counts from 1 without gaps. */
  line: number;
  /** ISO 8601, UTC. */
  at: string;
  request_id: string;
  /** The request's `x-client-request-id`. */
  client_request_id: string | null;
  /** The id of the request's key, as reports name it; null: it bore none. */
  api_key_id: string | null;
  /** `chat.completions`, `responses`, …; null for an unknown path. */
  operation: string | null;
  /** The project that it is billed to; missing: the only one. */
  project_id?: string;
  model: string | null;
  /** The tier that was billed. */
  service_tier: string | null;
  /** The status sent; null when the connection was cut or left hanging before any. */
  status: number | null;
  usage: Usage;
  /** What is billed, or reported, in another unit than tokens. */
  units?: Units;
  /** What a tool of the response made with a model of its own; it is in the line's cost. */
  image_generation?: { model: string; images: number; cost_pico_usd: string } | undefined;
  /** Calls and sessions of tools that the upstream ran; they are in the line's cost. */
  tools?: readonly ToolLine[] | undefined;
  /** Integer pico-USD; `"0"` for what failed unbilled. */
  cost_pico_usd: string;
  /** The injected fault, by name. */
  fault: string | null;
  /** Every byte of the response was handed to the network. */
  completed: boolean;
}

export interface Units {
  unit: 'characters' | 'seconds' | 'images' | 'sessions' | 'bytes' | 'checks';
  amount: number;
}

export interface ToolLine {
  tool: 'web_search' | 'file_search' | 'code_interpreter';
  /** Billed ones. */
  calls: number;
  cost_pico_usd: string;
}

/** What the caller of {@link Invoice.add} knows of a line. */
export type LineEntry = Omit<InvoiceLine, 'line' | 'at' | 'cost_pico_usd' | 'completed'>;

export interface InvoiceSummary {
  /** All lines ever written. */
  line_count: number;
  billed_lines: number;
  /** Lines that are in the total but no longer listed. */
  dropped_lines: number;
  total_pico_usd: string;
}

export const NO_USAGE: Usage = Object.freeze({
  input_tokens: 0,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
});

export class Invoice {
  #lines: InvoiceLine[] = [];
  #count = 0;
  #billedCount = 0;
  #totalPicoUsd = 0n;
  readonly #maxLines: number;

  /** `maxLines`: how many lines to keep in memory; the newest are kept. */
  constructor(maxLines: number) {
    this.#maxLines = Math.max(1, maxLines);
  }

  /** @param atMs when it was committed to, in milliseconds since the epoch */
  add(entry: LineEntry, costPicoUsd: bigint, atMs = Date.now()): InvoiceLine {
    this.#count++;
    this.#totalPicoUsd += costPicoUsd;
    if (costPicoUsd > 0n) this.#billedCount++;
    const line: InvoiceLine = {
      line: this.#count,
      at: new Date(atMs).toISOString(),
      ...entry,
      cost_pico_usd: costPicoUsd.toString(),
      completed: false,
    };
    this.#lines.push(line);
    // Dropping a tenth at once keeps the price of a line constant.
    if (this.#lines.length > this.#maxLines * 1.1) this.#lines = this.#lines.slice(-this.#maxLines);
    return line;
  }

  /** Corrects a line: its client left, and the upstream stopped there. */
  amend(line: InvoiceLine, usage: Usage, costPicoUsd: bigint): void {
    this.#totalPicoUsd += costPicoUsd - BigInt(line.cost_pico_usd);
    line.usage = usage;
    line.cost_pico_usd = costPicoUsd.toString();
  }

  /** Lines numbered above `after`, oldest first. */
  lines(after = 0, limit = Number.POSITIVE_INFINITY): InvoiceLine[] {
    const first = Math.max(0, after - (this.#count - this.#lines.length));
    return this.#lines.slice(first, first + limit);
  }

  summary(): InvoiceSummary {
    return {
      line_count: this.#count,
      billed_lines: this.#billedCount,
      dropped_lines: this.#count - this.#lines.length,
      total_pico_usd: this.#totalPicoUsd.toString(),
    };
  }
}
