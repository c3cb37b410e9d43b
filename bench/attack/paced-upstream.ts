/**
 * The upstream of the neighbours, in a process of its own: every JSON answer comes after the same time and says how long it
 * really took, so that what a gateway adds can be told; a stream takes some twenty seconds, as those of models do, and is longer than the buffers on the way.
 */
import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { readyWithPort } from '../child.ts';
import { ANSWER_MS } from './neighbours-plan.ts';

const MODEL = 'gpt-4o-mini';
const USAGE = { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 };
const STREAM_BYTES = 6 * 1024 * 1024;
const PIECE_EVERY_MS = 100;

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: MODEL,
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello!' }, finish_reason: 'stop' }],
  usage: USAGE,
});

const chunk = (rest: object) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: MODEL, ...rest })}\n\n`;

const PIECE = chunk({ choices: [{ index: 0, delta: { content: 'x'.repeat(32_000) }, finish_reason: null }] });

async function stream(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (let sent = 0; sent < STREAM_BYTES && !response.destroyed; sent += PIECE.length) {
    await delay(PIECE_EVERY_MS);
    // One that is not read has all it can hold in its buffers, and goes on once it is.
    if (!response.writableNeedDrain) response.write(PIECE);
    else sent -= PIECE.length;
  }
  response.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
  response.write(chunk({ choices: [], usage: USAGE }));
  response.end('data: [DONE]\n\n');
}

const server = createServer(async (request, response) => {
  const cameMs = performance.now();
  // The rest of a large body is not worth a look: what that would take is no time of the gateway's.
  let begin: Buffer | null = null;
  for await (const part of request) begin ??= part as Buffer;
  if (begin?.includes('"stream":true')) await stream(response);
  else {
    await delay(ANSWER_MS);
    const tookMs = performance.now() - cameMs;
    response.writeHead(200, { 'content-type': 'application/json', 'openai-processing-ms': String(tookMs) });
    response.end(ANSWER);
  }
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => readyWithPort(server));
