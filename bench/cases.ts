/** The calls that the bench makes: prompt size × kind of answer. `/v1/chat/completions`, as SDKs write it. */

export interface Case {
  name: string;
  /** The request body, JSON in UTF-8. */
  body: string;
  stream: boolean;
}

/** An output limit bounds the call, so that a gateway that reserves needs no guess; the answers stay below it. */
const MAX_OUTPUT_TOKENS = 100;

const SMALL_PROMPT = 'Write one sentence about bridges and who pays for them.';
/** Prose-like text of 32 KiB: many short words, no long run of one letter. */
const LARGE_PROMPT = 'A toll is paid once, at the gate, before the bridge. '.repeat(619).slice(0, 32_768);

function chat(name: string, prompt: string, options: Record<string, unknown>): Case {
  const body = JSON.stringify({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: prompt }],
    max_tokens: MAX_OUTPUT_TOKENS,
    ...options,
  });
  return { name, body, stream: 'stream' in options };
}

/**
 * A stream whose client did not ask for usage is the usual one, and the harder one for a gateway that meters: it has to
 * ask for the usage itself and take it out of the client's bytes again.
 */
export const CASES: readonly Case[] = [
  chat('small-json', SMALL_PROMPT, {}),
  chat('large-json', LARGE_PROMPT, {}),
  chat('small-stream', SMALL_PROMPT, { stream: true }),
  chat('large-stream', LARGE_PROMPT, { stream: true }),
  chat('small-stream-usage', SMALL_PROMPT, { stream: true, stream_options: { include_usage: true } }),
];
