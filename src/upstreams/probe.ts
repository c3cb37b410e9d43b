/**
 * The probe: whether an upstream keeps an output limit. It is asked for a long output with the least limit there is,
 * streamed and not, in the bytes that a call would have. Only a response that says that it ended at the limit (or counts
 * exactly so many tokens, if those are more than a few), and is no longer, proves anything. A stream that goes on beyond it is cut.
 */
import type { JsonObject } from '../openai/body.ts';
import { isObject, parseJson } from '../openai/body.ts';
import type { Descriptor } from '../openai/operations/descriptor.ts';
import { readRequest, renderBody } from '../openai/request.ts';
import { meterJson, upstreamHeaders } from '../openai/response.ts';
import { countJson, OutputCounter, type TextRule } from '../openai/usage/count.ts';
import { StreamMeter } from '../openai/usage/stream.ts';
import type { Upstream, UpstreamCall, UpstreamFailure, UpstreamHeaders } from '../wire/upstream.ts';
import type { UpstreamProfile } from './profile.ts';
import type { ProbeResult } from './trust.ts';

export interface ProbeOptions {
  upstream: Upstream;
  apiKey: string;
  /** Headers of its own, its key among them; missing: a bearer key. */
  headers?: readonly string[] | undefined;
  profile: UpstreamProfile;
  descriptor: Descriptor;
  model: string;
  /** Id of a probe's request, as its `x-client-request-id`. */
  makeId(): string;
  signal: AbortSignal;
}

/** A token of the model's may be two of the configured tokeniser's: of one token its bytes say enough. */
const BY_BYTES: TextRule = { countTokens: null };
/** A small model on a slow machine responds in this time, also one that has to be loaded first. */
const TIMEOUT_MS = 120_000;
/** A response that is longer than this is not one of a few tokens. */
const BODY_BYTES_MOST = 1024 * 1024;

/** Probes one operation with one model. Never rejects. */
export async function probe(options: ProbeOptions): Promise<ProbeResult> {
  const streamed = await judged(options, 'streamed', { stream: true });
  if (streamed.state !== 'kept') return streamed;
  const whole = await judged(options, 'not streamed', {});
  if (whole.state !== 'kept') return whole;
  const choicesField = options.descriptor.probe?.choicesField ?? null;
  const reportsUsage = streamed.reportsUsage && whole.reportsUsage;
  if (choicesField === null) return { ...whole, reportsUsage };
  // Several choices are no part of the promise: what a server does with them only decides whether its usage is believed.
  const several = await ask(options, { [choicesField]: 2 });
  return {
    ...whole,
    reportsUsage,
    countsChoices: several.kind === 'answer' && several.choices === 2 && several.reported === 2,
  };
}

async function judged(options: ProbeOptions, how: string, changes: JsonObject): Promise<ProbeResult> {
  const seen = await ask(options, changes);
  const result = (state: ProbeResult['state'], reason: string) => ({
    state,
    reason,
    countsChoices: false,
    reportsUsage: true,
  });
  if (seen.kind === 'failed') return result('unknown', `${how}: ${seen.reason}`);
  const limit = options.descriptor.probe?.limit ?? 0;
  const { isOver, reported, saysLength } = seen;
  if (isOver || (reported ?? 0) > limit) return result('ignored', `${how}: more than ${limit} tokens came`);
  if (!saysLength && !(limit >= TELLING_TOKENS && reported === limit))
    return result('ignored', `${how}: it does not say that it ended at the limit`);
  return { ...result('kept', 'a limit was kept, streamed and not'), reportsUsage: reported !== null };
}

/**
 * Of a limit of so many tokens or more, a count that is equal to it says that it ended the response. llama-server and
 * transformers call a response of `/responses` completed, whatever ended it.
 */
const TELLING_TOKENS = 16;

type Seen =
  | { kind: 'failed'; reason: string }
  | { kind: 'answer'; isOver: boolean; reported: number | null; saysLength: boolean; choices: number };

/** The response says that it ended at its limit, in the words of chat, completions or responses. */
const SAYS_LENGTH = /"finish_reason":\s*"length"|"reason":\s*"max_output_tokens"|"status":\s*"incomplete"/;

function ask(options: ProbeOptions, changes: JsonObject): Promise<Seen> {
  const { upstream, apiKey, headers: own, profile, descriptor, model, makeId, signal } = options;
  const request = descriptor.probe;
  if (request === null) return Promise.resolve(failed('this operation has no limit'));
  const { path } = descriptor;
  const body = Buffer.from(JSON.stringify({ model, ...request.body, ...changes }));
  const parsed = readRequest({ descriptor, path, model: null, objects: null }, body);
  if (!('descriptor' in parsed)) return Promise.resolve(failed(parsed.message));
  const headers = upstreamHeaders(['content-type', 'application/json'], { apiKey, eventId: makeId(), own });
  const rendered = renderBody(parsed, { includeUsage: true, limitFields: profile.limitFields });
  return new Promise((resolve) => {
    const answer = new Answer(descriptor, BY_BYTES, request.limit, resolve);
    answer.watch(upstream.send({ method: 'POST', path, headers, body: rendered }, answer), signal);
  });
}

function failed(reason: string): Seen {
  return { kind: 'failed', reason };
}

class Answer {
  readonly #descriptor: Descriptor;
  readonly #rule: TextRule | null;
  readonly #limit: number;
  readonly #resolve: (seen: Seen) => void;
  #call: UpstreamCall | null = null;
  #status = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #stream: { meter: StreamMeter; counter: OutputCounter } | null = null;
  #isDone = false;
  #forget: () => void = () => {};

  constructor(descriptor: Descriptor, rule: TextRule | null, limit: number, resolve: (seen: Seen) => void) {
    this.#descriptor = descriptor;
    this.#rule = rule;
    this.#limit = limit;
    this.#resolve = resolve;
  }

  watch(call: UpstreamCall, signal: AbortSignal): void {
    this.#call = call;
    if (this.#isDone) return;
    const stop = () => this.#end(failed('the gateway stops'));
    signal.addEventListener('abort', stop);
    const late = () => this.#end(failed(`no answer within ${TIMEOUT_MS / 1000} s`));
    const timer = setTimeout(late, TIMEOUT_MS).unref();
    this.#forget = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
  }

  onHeaders(status: number, headers: UpstreamHeaders): void {
    this.#status = status;
    const { usage } = this.#descriptor;
    if (usage === null || !String(headers['content-type']).startsWith('text/event-stream')) return;
    const counter = new OutputCounter(usage, this.#rule);
    const outputTokensMost = this.#limit;
    const meter = new StreamMeter(usage, { stripUsage: false, choices: 1, counter, outputTokensMost });
    this.#stream = { meter, counter };
  }

  onData(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
    if (this.#stream !== null) {
      const { meter } = this.#stream;
      meter.push(chunk);
      if (meter.isOver) this.#end(over());
    }
    if (this.#bytes > BODY_BYTES_MOST) this.#end(over());
  }

  onEnd(): void {
    const body = Buffer.concat(this.#chunks);
    if (this.#status !== 200) {
      this.#end(failed(`status ${this.#status}${messageOf(body)}`));
      return;
    }
    const { usage } = this.#descriptor;
    if (usage === null) return;
    const saysLength = SAYS_LENGTH.test(body.toString());
    if (this.#stream !== null) {
      const { meter, counter } = this.#stream;
      meter.end();
      const reported = meter.result().usage?.output_tokens ?? null;
      const isOver = counter.isOver(this.#limit);
      this.#end({ kind: 'answer', isOver, reported, saysLength, choices: 1 });
      return;
    }
    const { choices, tokens } = countJson(body, this.#rule ?? { countTokens: null });
    const reported = meterJson(usage, body).usage?.output_tokens ?? null;
    this.#end({ kind: 'answer', isOver: tokens > this.#limit, reported, saysLength, choices });
  }

  onError(failure: UpstreamFailure): void {
    this.#end(failed(failure));
  }

  #end(seen: Seen): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#forget();
    this.#resolve(seen);
    this.#call?.abort();
  }
}

function over(): Seen {
  return { kind: 'answer', isOver: true, reported: null, saysLength: false, choices: 0 };
}

function messageOf(body: Buffer): string {
  const answer = parseJson(body.toString('utf8', 0, 64 * 1024));
  const error = isObject(answer) && isObject(answer.error) ? answer.error.message : null;
  return typeof error === 'string' ? `: ${error.slice(0, 200)}` : '';
}

/** How long a list of models is waited for. */
const LIST_WITHIN_MS = 5_000;

/** Asks the upstream for the models that it says it has; none where it does not say, or not in time. Never rejects. */
export function listModels({
  upstream,
  apiKey,
  headers: own,
  makeId,
  path = '/models',
}: Pick<ProbeOptions, 'upstream' | 'apiKey' | 'headers' | 'makeId'> & { path?: string | undefined }) {
  const headers = upstreamHeaders([], { apiKey, eventId: makeId(), own });
  return new Promise<NamedModel[]>((resolve) => {
    const chunks: Buffer[] = [];
    let isOk = false;
    const call = upstream.send(
      { method: 'GET', path, headers, body: null },
      {
        onHeaders: (status) => {
          isOk = status === 200;
        },
        onData: (chunk) => {
          if (isOk) chunks.push(chunk);
        },
        onEnd: () => end(modelsOf(Buffer.concat(chunks))),
        onError: () => end([]),
      },
    );
    const timer = setTimeout(() => call.abort(), LIST_WITHIN_MS).unref();
    function end(models: NamedModel[]): void {
      clearTimeout(timer);
      resolve(models);
    }
  });
}

/** A model as a list of an upstream has it. */
export type NamedModel = JsonObject & { id: string };

/** Returns the models of a list; none where it is none. */
export function modelsOf(body: Buffer | null): NamedModel[] {
  const answer = body === null ? undefined : parseJson(body.toString());
  const data = isObject(answer) && Array.isArray(answer.data) ? answer.data : [];
  return data.filter((model): model is NamedModel => isObject(model) && typeof model.id === 'string');
}
