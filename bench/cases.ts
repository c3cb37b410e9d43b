/** What the bench measures: calls (`/v1/chat/completions`, as SDKs write them), sessions, and under which load each is sent. */

export interface Call {
  /** The request body, JSON in UTF-8. */
  body: string;
  stream: boolean;
}

/** An output limit bounds the call, so that a gateway that reserves needs no guess; the completions stay below it. */
const MAX_OUTPUT_TOKENS = 100;

const SMALL_PROMPT = 'Write one sentence about bridges and who pays for them.';
/** Prose-like text of 32 KiB: many short words, no long run of one letter. */
const LARGE_PROMPT = 'A toll is paid once, at the gate, before the bridge. '.repeat(619).slice(0, 32_768);

/** Asks the bench's upstream for a stream that stays open until it is released. */
export const HELD_STREAM_USER = 'bench-held-stream';
/** What the bench sends its upstream to let such streams go on. */
export const RELEASE = 'release';

function chat(prompt: string, options: Record<string, unknown>): Call {
  const body = JSON.stringify({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: prompt }],
    max_tokens: MAX_OUTPUT_TOKENS,
    ...options,
  });
  return { body, stream: 'stream' in options };
}

/** The call that warms up and that most cases send. */
export const SMALL_JSON = chat(SMALL_PROMPT, {});
const LARGE_JSON = chat(LARGE_PROMPT, {});
/**
 * A stream whose client did not ask for usage is the usual one, and the harder one for a gateway that meters: it has to
 * ask for the usage itself and take it out of the client's bytes again.
 */
const SMALL_STREAM = chat(SMALL_PROMPT, { stream: true });
const LARGE_STREAM = chat(LARGE_PROMPT, { stream: true });
const USAGE_STREAM = chat(SMALL_PROMPT, { stream: true, stream_options: { include_usage: true } });
const HELD_STREAM = chat(SMALL_PROMPT, { stream: true, user: HELD_STREAM_USER });

/** What asks for a response on a WebSocket of `/v1/responses`. */
const RESPONSE_MESSAGE = JSON.stringify({
  type: 'response.create',
  model: 'gpt-4o-mini',
  input: SMALL_PROMPT,
  max_output_tokens: MAX_OUTPUT_TOKENS,
  store: false,
});

/** A fixed number of connections, each with its next call as soon as the last one ended. */
export interface SaturateCase {
  kind: 'saturate';
  name: string;
  call: Call;
  connections: number;
}

/** Calls at random moments at a mean rate, far below what any gateway can do. */
export interface RateCase {
  kind: 'rate';
  name: string;
  call: Call;
  callsPerSecond: number;
  seconds: number;
}

/** So many calls over saturated connections, and how long Postgres needs to take all their events. */
export interface EventsCase {
  kind: 'events';
  name: string;
  call: Call;
  connections: number;
  calls: number;
}

/** Memory with so many streams open at once. */
export interface HeldCase {
  kind: 'held';
  name: string;
  call: Call;
  connections: number;
}

/** A start on a data folder that exists: how long, the first call, the first seconds under load. */
export interface StartCase {
  kind: 'start';
  name: string;
  call: Call;
  connections: number;
  seconds: number;
}

/** CPU and memory without calls: before the first one of all (`fresh`), or after the last. */
export interface IdleCase {
  kind: 'idle';
  name: string;
  fresh: boolean;
}

/** WebSockets, each with its next response as soon as the last one ended: CPU for each frame that the client gets. */
export interface FramesCase {
  kind: 'frames';
  name: string;
  message: string;
  sessions: number;
}

/** Memory with so many WebSockets open at once, on which nothing passes. */
export interface SessionsCase {
  kind: 'sessions';
  name: string;
  message: string;
  sessions: number;
}

export type Case =
  | SaturateCase
  | RateCase
  | EventsCase
  | HeldCase
  | StartCase
  | IdleCase
  | FramesCase
  | SessionsCase;

function saturate(name: string, call: Call, connections: number): SaturateCase {
  return { kind: 'saturate', name, call, connections };
}

export const CASES: readonly Case[] = [
  { kind: 'idle', name: 'idle-fresh', fresh: true },
  saturate('json-1', SMALL_JSON, 1),
  saturate('json-16', SMALL_JSON, 16),
  saturate('json-64', SMALL_JSON, 64),
  saturate('json-32k', LARGE_JSON, 16),
  // The upstream paces streams: with this many the bare pipe has enough to do, and chunks do not merge yet.
  saturate('stream', SMALL_STREAM, 32),
  { kind: 'rate', name: 'rate-50', call: SMALL_JSON, callsPerSecond: 50, seconds: 10 },
  { kind: 'events', name: 'events', call: SMALL_JSON, connections: 64, calls: 10_000 },
  { kind: 'held', name: 'streams-2000', call: HELD_STREAM, connections: 2_000 },
  { kind: 'frames', name: 'frames', message: RESPONSE_MESSAGE, sessions: 32 },
  { kind: 'sessions', name: 'sessions-2000', message: RESPONSE_MESSAGE, sessions: 2_000 },
  { kind: 'start', name: 'start', call: SMALL_JSON, connections: 16, seconds: 10 },
  { kind: 'idle', name: 'idle', fresh: false },
  saturate('stream-32k', LARGE_STREAM, 32),
  saturate('stream-usage', USAGE_STREAM, 32),
];

/** Measured only when named. */
const EXTRA_CASES = new Set(['stream-32k', 'stream-usage']);

export const USUAL_CASES = CASES.filter(({ name }) => !EXTRA_CASES.has(name));
