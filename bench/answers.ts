/** The canned answers of the bench's upstream: an OpenAI-like JSON completion, and a stream of 100 chunks. */

const IDENTITY =
  '"id":"chatcmpl-CcW8bTJPyq3kPzVhXn5r7mQdL2aEo","created":1763950000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_560af6e559"';
const USAGE =
  '{"prompt_tokens":19,"completion_tokens":98,"total_tokens":117,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}';
const RESPONSE_HEADERS = [
  'openai-organization: bench',
  'openai-processing-ms: 12',
  'openai-version: 2020-10-01',
  'x-ratelimit-limit-requests: 30000',
  'x-ratelimit-remaining-requests: 29999',
  'x-ratelimit-limit-tokens: 150000000',
  'x-ratelimit-remaining-tokens: 149999980',
  'x-request-id: req_7f3c1e9ab2d84c51a0e6',
].join('\r\n');

const COMPLETION = `{${IDENTITY},"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"A bridge is the oldest promise between two shores, and a toll is how every traveller keeps a small part of it.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":${USAGE}}`;

/** The whole HTTP response of a call that asked for JSON. */
export const JSON_RESPONSE = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${RESPONSE_HEADERS}\r\ncontent-length: ${Buffer.byteLength(COMPLETION)}\r\n\r\n${COMPLETION}`;

/** The head of a streamed response; its body is HTTP-chunked, one HTTP chunk per event. */
export const STREAM_HEAD = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n${RESPONSE_HEADERS}\r\ntransfer-encoding: chunked\r\n\r\n`;

/** Every stream has this many events with an object in them, plus `[DONE]`, which goes with the last. */
export const STREAM_CHUNKS = 100;

/**
 * Precedes the moment at which a chunk was written, 16 digits of microseconds on the machine's monotonic clock: the
 * reader in another process sees how long the chunk was under way. It stands in the field `obfuscation`, which
 * OpenAI's own chunks fill with random characters.
 */
export const SENT_AT_MARK = '"obfuscation":"';
export const SENT_AT_DIGITS = 16;

function httpChunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

function event(choices: string, tail: string, sentAt: string): string {
  return `data: {${IDENTITY},"object":"chat.completion.chunk","choices":[${choices}]${tail},${SENT_AT_MARK}${sentAt}"}\n\n`;
}

function choice(delta: string, finishReason: string): string {
  return `{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finishReason}}`;
}

/** The `index`-th write (0 to 99) of a stream, as bytes of the HTTP body; the last one also ends the body. */
export function streamWrite(index: number, includeUsage: boolean, sentAtUs: number): string {
  const sentAt = String(sentAtUs).padStart(SENT_AT_DIGITS, '0');
  const noUsageYet = includeUsage ? ',"usage":null' : '';
  const last = STREAM_CHUNKS - 1;
  if (index === 0)
    return httpChunk(
      event(choice('{"role":"assistant","content":"","refusal":null}', 'null'), noUsageYet, sentAt),
    );
  if (index < last - (includeUsage ? 1 : 0))
    return httpChunk(event(choice('{"content":" bridge"}', 'null'), noUsageYet, sentAt));
  if (index < last) return httpChunk(event(choice('{}', '"stop"'), noUsageYet, sentAt));
  const final = includeUsage
    ? event('', `,"usage":${USAGE}`, sentAt)
    : event(choice('{}', '"stop"'), '', sentAt);
  return `${httpChunk(final)}${httpChunk('data: [DONE]\n\n')}0\r\n\r\n`;
}

/** The events of a response on a WebSocket: text in {@link STREAM_CHUNKS} pieces, and what stands before and after it. */
export const FRAMES: readonly string[] = responseFrames();

function responseFrames(): string[] {
  const text = ' bridge'.repeat(STREAM_CHUNKS);
  const item = '"item_id":"msg_0c1f7a3b9d2e","output_index":0,"content_index":0';
  const usage = (output: number) =>
    `{"input_tokens":19,"input_tokens_details":{"cached_tokens":0},"output_tokens":${output},"output_tokens_details":{"reasoning_tokens":0},"total_tokens":${19 + output}}`;
  const response = (status: string, output: string, used: string) =>
    `{"id":"resp_0c1f7a3b9d2e","object":"response","created_at":1763950000,"status":"${status}","model":"gpt-4o-mini-2024-07-18","service_tier":"default","output":[${output}],"usage":${used}}`;
  const message = `{"id":"msg_0c1f7a3b9d2e","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"${text}"}]}`;
  const bodies = [
    ['response.created', `"response":${response('in_progress', '', 'null')}`],
    ...Array.from({ length: STREAM_CHUNKS }, () => [
      'response.output_text.delta',
      `${item},"delta":" bridge","logprobs":[],"obfuscation":"x7Qm2"`,
    ]),
    ['response.output_text.done', `${item},"text":"${text}","logprobs":[]`],
    ['response.completed', `"response":${response('completed', message, usage(98))}`],
  ];
  return bodies.map(([type, rest], at) => `{"type":"${type}","sequence_number":${at},${rest}}`);
}
