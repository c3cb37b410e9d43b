/** Load that is surely in flight at any moment: streams with slow chunks and answers that take their time. */
import type { Simulator } from '../../src/simulator/simulator.ts';
import type { GatewayProcess } from './crash-gateway.ts';

export interface Load {
  /** Calls that got their whole answer: their ids, and when (`performance.now()`). */
  readonly finished: readonly { id: string; atMs: number }[];
  /** Ends when every caller has seen the gateway go, or `stop` was called. */
  ended: Promise<void>;
  stop(): void;
}

const MODEL = 'gpt-4o-mini';
/** About half a second a call. */
const STREAM = { 'x-simulator': 'chunks=20,chunk_ms=25,output=150' };
const WHOLE = { 'x-simulator': 'first_byte_ms=450,output=150' };

/** Keeps so many callers busy, each with one call after another, taking turns through the keys, until a call breaks. */
export function startLoad(gateway: GatewayProcess, keys: string[], callers: number): Load {
  let stopping = false;
  const finished: { id: string; atMs: number }[] = [];
  const call = async (caller: number) => {
    const stream = caller % 2 === 0;
    const body = {
      model: MODEL,
      stream,
      max_tokens: 200,
      messages: [{ role: 'user', content: `hi ${caller}` }],
    };
    const key = keys[caller % keys.length]!;
    while (!stopping) {
      try {
        const response = await gateway.post(key, '/chat/completions', body, stream ? STREAM : WHOLE);
        await response.text();
        const id = response.headers.get('x-tollgate-request-id')!;
        if (response.status === 200) finished.push({ id, atMs: performance.now() });
      } catch {
        return;
      }
    }
  };
  const ended = Promise.all(Array.from({ length: callers }, (_, caller) => call(caller))).then(() => {});
  return {
    finished,
    ended,
    stop: () => {
      stopping = true;
    },
  };
}

/** Calls that the upstream has begun and not ended, of those after a line of its invoice. */
export function inFlight(simulator: Simulator, afterLine: number): number {
  return simulator.invoice().lines.filter((line) => line.line > afterLine && !line.completed).length;
}
