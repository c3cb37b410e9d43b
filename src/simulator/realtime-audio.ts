/** Audio that a realtime session is sent: its length by its format, and where speech begins and ends. */
import { isObject, type JsonObject } from './fields.ts';

export type AudioFormat = 'audio/pcm' | 'audio/pcmu' | 'audio/pcma';

/** PCM is 24 kHz in 16 bits, G.711 8 kHz in 8. */
export function bytesPerMs(format: AudioFormat): number {
  return format === 'audio/pcm' ? 48 : 8;
}

/** Whether a piece is louder than the threshold, of 0 to 1. G.711 has its loudness in the exponent of a sample. */
function isLoud(bytes: Buffer, format: AudioFormat, threshold: number): boolean {
  if (format !== 'audio/pcm') {
    const mask = format === 'audio/pcmu' ? 0xff : 0x55;
    return bytes.some((byte) => (((byte ^ mask) & 0x70) >> 4) / 8 >= threshold);
  }
  for (let at = 0; at + 1 < bytes.length; at += 2)
    if (Math.abs(bytes.readInt16LE(at)) >= threshold * 3277) return true;
  return false;
}

const FRAME_MS = 20;

export interface Heard {
  started: number | null;
  /** Speech ended here; the buffer is committed. */
  stopped: number | null;
}

/**
 * The input buffer with its detection of turns. Times are milliseconds of audio since the session began; what is not
 * speech yet is kept as padding alone.
 */
export class InputBuffer {
  /** Of all audio so far. */
  totalMs = 0;
  /** In the buffer. */
  bufferedMs = 0;
  #isSpeech = false;
  #silentMs = 0;
  readonly #keepsAll: boolean;

  /** `keepsAll`: silence is committed too. */
  constructor(keepsAll: boolean) {
    this.#keepsAll = keepsAll;
  }

  clear(): void {
    this.bufferedMs = 0;
    this.#isSpeech = false;
    this.#silentMs = 0;
  }

  /** Adds audio; `act` hears of each begin and end of speech while it stands where that is. `turns` null: no turns are detected. */
  append(bytes: Buffer, format: AudioFormat, turns: JsonObject | null, act: (heard: Heard) => void): void {
    const frame = FRAME_MS * bytesPerMs(format);
    for (let at = 0; at < bytes.length; at += frame) {
      const piece = bytes.subarray(at, at + frame);
      const ms = piece.length / bytesPerMs(format);
      this.totalMs += ms;
      this.bufferedMs += ms;
      if (turns !== null) this.#listen(isLoud(piece, format, thresholdOf(turns)), ms, turns, act);
      if (turns !== null && !this.#isSpeech && !this.#keepsAll)
        this.bufferedMs = Math.min(this.bufferedMs, paddingOf(turns));
    }
  }

  #listen(loud: boolean, ms: number, turns: JsonObject, act: (heard: Heard) => void): void {
    if (loud && !this.#isSpeech) {
      this.#isSpeech = true;
      act({ started: Math.floor(this.totalMs - ms), stopped: null });
    }
    this.#silentMs = loud ? 0 : this.#silentMs + ms;
    if (!this.#isSpeech || this.#silentMs < silenceOf(turns)) return;
    act({ started: null, stopped: Math.floor(this.totalMs) });
    this.clear();
  }
}

function paddingOf({ prefix_padding_ms: padding }: JsonObject): number {
  return typeof padding === 'number' ? padding : 300;
}

function thresholdOf({ threshold }: JsonObject): number {
  return typeof threshold === 'number' ? threshold : 0.5;
}

const SEMANTIC_MS: Record<string, number> = { low: 2000, medium: 1000, auto: 1000, high: 500 };

function silenceOf({ type, silence_duration_ms: silence, eagerness }: JsonObject): number {
  if (type === 'semantic_vad') return SEMANTIC_MS[String(eagerness)] ?? 1000;
  return typeof silence === 'number' ? silence : 500;
}

/** Returns the format of a part of the session's configuration. */
export function formatOf(part: unknown): AudioFormat {
  const format = isObject(part) && isObject(part.format) ? part.format.type : null;
  return format === 'audio/pcmu' || format === 'audio/pcma' ? format : 'audio/pcm';
}
