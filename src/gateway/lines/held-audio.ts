/**
 * The audio of a session that translates, and the call that pays for it: a block of whole minutes. Owns: that a block is charged in full
 * before the next is asked for, and the last for the seconds that were begun, so that no more is rounded than once a session.
 */
import type { JsonObject } from '../../openai/body.ts';
import { AUDIO_BYTES_PER_SECOND } from '../../openai/translation.ts';
import type { UpstreamFailure } from '../../wire/upstream.ts';
import type { RealtimeCall } from './realtime-call.ts';

const BLOCK_SECONDS = 60;

const UNUSED: JsonObject = { type: 'invalid_request_error', code: '400', message: 'Nothing was translated.' };

/** Returns how many seconds a block must have that takes so many bytes. */
export function blockFor(bytes: number): number {
  return BLOCK_SECONDS * Math.ceil(bytes / (BLOCK_SECONDS * AUDIO_BYTES_PER_SECOND));
}

export class HeldAudio {
  /** Some was sent, in this block or before. */
  hasBegun = false;
  /** The block that is being filled, and bytes in it. */
  #block: RealtimeCall | null = null;
  #bytes = 0;

  /** How many bytes may be sent. */
  get room(): number {
    return this.#block === null ? 0 : this.#block.seconds * AUDIO_BYTES_PER_SECOND - this.#bytes;
  }

  /** There is no other block. */
  held(call: RealtimeCall): void {
    this.#block = call;
    this.#bytes = 0;
  }

  /** So much is sent: there is room for it. */
  take(bytes: number): void {
    if (this.#bytes === 0 && bytes > 0) this.#block?.begun();
    this.hasBegun ||= bytes > 0;
    this.#bytes += bytes;
    if (this.room === 0) this.settle();
  }

  /** No more is sent in this block: what was is charged. */
  settle(): void {
    const [block, bytes] = this.#clear();
    if (bytes === 0) block?.refused(UNUSED);
    else block?.done({ type: 'duration', seconds: Math.ceil(bytes / AUDIO_BYTES_PER_SECOND) });
  }

  /** How much of it the upstream had is not known. */
  lost(failure: UpstreamFailure): void {
    const [block, bytes] = this.#clear();
    if (bytes === 0) block?.refused(UNUSED);
    else block?.lost(failure);
  }

  /** A call has ended, perhaps by another hand. */
  served(call: RealtimeCall): void {
    if (this.#block === call) this.#clear();
  }

  #clear(): [RealtimeCall | null, number] {
    const before: [RealtimeCall | null, number] = [this.#block, this.#bytes];
    this.#block = null;
    this.#bytes = 0;
    return before;
  }
}
