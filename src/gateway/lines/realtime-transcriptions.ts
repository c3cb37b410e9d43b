/**
 * Transcriptions of a realtime session under way. Owns: which call pays for which item. One call stands ready for the next commit,
 * which the upstream may make at any moment; it becomes that item's.
 */
import type { JsonObject } from '../../openai/body.ts';
import type { UpstreamFailure } from '../../wire/upstream.ts';
import type { RealtimeCall } from './realtime-call.ts';

/** Ends of transcriptions that came before their hold: more are not kept. */
const EARLY_MAX = 100;

const UNUSED: JsonObject = { type: 'invalid_request_error', code: '400', message: 'Nothing was committed.' };

export class Transcriptions {
  #standing: RealtimeCall | null = null;
  readonly #calls = new Map<string, RealtimeCall>();
  readonly #early = new Map<string, JsonObject>();

  /** Those of items that are known. */
  get calls(): Iterable<RealtimeCall> {
    return this.#calls.values();
  }

  get size(): number {
    return this.#calls.size;
  }

  get standing(): RealtimeCall | null {
    return this.#standing;
  }

  /** A call was held for the next commit. */
  stands(call: RealtimeCall): void {
    const before = this.#standing;
    this.#standing = call;
    before?.refused(UNUSED);
  }

  /** Nothing will be committed any more. */
  release(): void {
    const before = this.#standing;
    this.#standing = null;
    before?.refused(UNUSED);
  }

  /** Returns whether a call pays for an item that was committed. */
  committed(itemId: string): boolean {
    const call = this.#standing;
    if (call === null) return false;
    this.#standing = null;
    this.#start(itemId, call);
    return true;
  }

  /** A call was held for an item that had none. */
  heldLate(itemId: string, call: RealtimeCall): void {
    this.#start(itemId, call);
    const early = this.#early.get(itemId);
    this.#early.delete(itemId);
    if (early !== undefined) finish(call, early);
  }

  /** Takes the event that ends a transcription; returns whether a call pays for it. */
  ended(itemId: string, event: JsonObject): boolean {
    const call = this.#calls.get(itemId);
    if (call !== undefined) finish(call, event);
    else if (this.#early.size < EARLY_MAX) this.#early.set(itemId, event);
    return call !== undefined;
  }

  served(call: RealtimeCall): void {
    if (this.#standing === call) this.#standing = null;
    if (call.id !== null && this.#calls.get(call.id) === call) this.#calls.delete(call.id);
  }

  /** @param mayHaveBegun something waited to be committed */
  lost(failure: UpstreamFailure, mayHaveBegun: boolean): void {
    for (const call of [...this.#calls.values()]) call.lost(failure);
    if (mayHaveBegun) this.#standing?.lost(failure);
    else this.release();
  }

  #start(itemId: string, call: RealtimeCall): void {
    call.id = itemId;
    call.begun();
    this.#calls.set(itemId, call);
  }
}

function finish(call: RealtimeCall, { type, usage, error }: JsonObject): void {
  if (String(type).endsWith('.failed')) call.failed(error);
  else call.done(usage);
}
