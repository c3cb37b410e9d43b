/** What a realtime session remembers of its conversation: what stands in it at most, and what is in the input buffer. Sends nothing. */
import { ApiError } from '../../domain/errors.ts';
import type { ModelLimits } from '../../domain/price.ts';
import { added, ConversationBound, InputAudio, WEIGHTLESS, type Weight } from '../../domain/realtime.ts';
import type { Json, JsonObject } from '../../openai/body.ts';
import {
  audioWeight,
  FRAME,
  inputOf,
  type RealtimeConfig,
  reportedWeight,
  type WantedResponse,
  weighItem,
  writtenBytes,
} from '../../openai/realtime.ts';
import type { RealtimeCall } from './realtime-call.ts';

/** Where the API writes as much as its models do, and none is known to write more. */
const OUTPUT_TOKENS_MOST = 128_000;

export class RealtimeMemory {
  readonly conversation = new ConversationBound();
  readonly audio = new InputAudio();
  /** Commits of the client that the upstream has not said yet: no turn ends with them. */
  #clientCommits = 0;

  configured(config: RealtimeConfig, before: RealtimeConfig | null): void {
    if (before?.prefaceTokens !== config.prefaceTokens) this.conversation.setPreface(config.prefaceTokens);
  }

  /** Takes an event of the client that is sent on; returns why it is not. */
  takeEvent(type: string, event: JsonObject, { bytesPerSecond }: RealtimeConfig): ApiError | null {
    if (type === 'conversation.item.create') {
      const weight = weighItem(event.item, bytesPerSecond);
      if (weight instanceof ApiError) return weight;
      this.conversation.add(weight);
    } else if (type === 'input_audio_buffer.clear') this.audio.cut();
    return null;
  }

  clientCommits(): void {
    this.#clientCommits++;
    this.conversation.add(added(audioWeight(this.audio.pending), FRAME));
    this.audio.cut();
  }

  /** The buffer was committed, as the upstream says. Returns the seconds of a turn; null: the client committed it. */
  committed(): number | null {
    if (this.#clientCommits > 0) {
      this.#clientCommits--;
      return null;
    }
    const seconds = this.audio.commitTurn();
    this.conversation.add(added(audioWeight(seconds), FRAME));
    return seconds;
  }

  /** The client's commit was refused. */
  commitFailed(): void {
    if (this.#clientCommits > 0) this.#clientCommits--;
  }

  /** The most that a response reads. @param running responses that write to the conversation */
  inputOf(
    { input, prefaceTokens }: WantedResponse,
    config: RealtimeConfig,
    limits: ModelLimits | null,
    running: Iterable<RealtimeCall>,
  ): Weight {
    // A turn may be committed until the response begins.
    let more = added(audioWeight(this.audio.pending), FRAME);
    for (const call of running)
      if (call.facts?.wanted.inConversation) more = added(more, unreported(call, limits));
    const whole = added(this.conversation.most(prefaceTokens), more);
    if (input === null) {
      this.conversation.fits(whole, roomOf(config, limits));
      return added(this.conversation.most(prefaceTokens), more);
    }
    const preface = { ...WEIGHTLESS, text: prefaceTokens ?? config.prefaceTokens };
    return added(preface, inputOf(input, whole));
  }

  /** A response has ended. */
  responded(
    call: RealtimeCall,
    usage: Json | undefined,
    output: Json | undefined,
    limits: ModelLimits | null,
  ): void {
    const { facts } = call;
    if (facts === null) return;
    const { wanted, moment } = facts;
    const reported = reportedWeight(usage);
    if (reported !== null && wanted.input === null)
      this.conversation.reported(reported.input, moment, wanted.prefaceTokens !== null);
    if (!wanted.inConversation) return;
    if (reported === null) this.conversation.add(unreported(call, limits));
    else {
      const { text, audio } = reported.output;
      this.conversation.add({ ...FRAME, text: FRAME.text + Math.max(text, writtenBytes(output)), audio });
    }
  }
}

/** What a response may have written that says nothing of it: all of its limit, as text and as speech. */
function unreported({ outputLimit }: RealtimeCall, limits: ModelLimits | null): Weight {
  const tokens = outputLimit ?? limits?.maxOutputTokens ?? OUTPUT_TOKENS_MOST;
  return { ...WEIGHTLESS, text: tokens, audio: tokens };
}

/** Tokens above which something may be left out of the conversation; null: it is not known. */
function roomOf(
  { retainedTokens, prefaceTokens }: RealtimeConfig,
  limits: ModelLimits | null,
): number | null {
  if (limits === null || limits.maxInputTokens === null || limits.maxOutputTokens === null) return null;
  const room = limits.maxInputTokens - limits.maxOutputTokens;
  return retainedTokens === null ? room : Math.min(room, prefaceTokens + retainedTokens);
}
