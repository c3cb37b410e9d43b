/** An upstream that fails as chosen: a proxy's page, a response that is cut, or an error after output. It bills nothing of those. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const FAILURES = ['page', 'cut', 'error'] as const;
export type Mode = (typeof FAILURES)[number] | 'good';

const SSE = { 'content-type': 'text/event-stream' };
const JSON_TYPE = { 'content-type': 'application/json' };

export class FailingUpstream {
  mode: Mode = 'good';
  /** Paid calls that came. */
  requests = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FailingUpstream> {
    const server = createServer();
    const upstream = new FailingUpstream(server);
    server.on('request', async (request, response) => {
      const body = Buffer.concat(await request.toArray()).toString();
      if (request.method === 'POST') upstream.requests++;
      const isChat = (request.url ?? '').includes('/chat/');
      const stream = body !== '' && JSON.parse(body).stream === true;
      respond(response, upstream.mode, isChat, stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const ID = { id: 'resp_1', object: 'response', created_at: 1, model: 'gpt-5-mini' };
const MESSAGE = {
  type: 'message',
  id: 'msg_1',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'hello', annotations: [] }],
};
const USAGE = { input_tokens: 9, output_tokens: 2, total_tokens: 11 };
const SERVER_ERROR = { message: 'The server had an error.', type: 'server_error', code: 'server_error' };

function respond(response: ServerResponse, mode: Mode, isChat: boolean, stream: boolean): void {
  if (mode === 'page') {
    response.writeHead(502, { 'content-type': 'text/html' });
    response.end('<html><body>502 Bad Gateway</body></html>');
    return;
  }
  response.writeHead(200, stream ? SSE : JSON_TYPE);
  const text = isChat ? chatText(mode, stream) : responseText(mode, stream);
  if (mode === 'cut') response.write(text, () => setTimeout(() => response.destroy(), 50));
  else response.end(text);
}

function chatText(mode: Mode, stream: boolean): string {
  const usage = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 };
  const base = { id: 'c', created: 1, model: 'gpt-5-mini' };
  if (!stream) {
    const message = { index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' };
    const whole = JSON.stringify({ ...base, object: 'chat.completion', choices: [message], usage });
    return mode === 'cut'
      ? whole.slice(0, 60)
      : mode === 'error'
        ? JSON.stringify({ error: SERVER_ERROR })
        : whole;
  }
  const chunk = (delta: object, finish_reason: string | null) =>
    data({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] });
  const begun = chunk({ role: 'assistant', content: 'hel' }, null);
  if (mode === 'cut') return begun;
  if (mode === 'error') return begun + data({ error: SERVER_ERROR });
  const last = data({ ...base, object: 'chat.completion.chunk', choices: [], usage });
  return `${begun}${chunk({ content: 'lo' }, null)}${chunk({}, 'stop')}${last}data: [DONE]\n\n`;
}

function responseText(mode: Mode, stream: boolean): string {
  const done = { ...ID, status: 'completed', output: [MESSAGE], usage: USAGE, error: null };
  const failed = { ...ID, status: 'failed', output: [MESSAGE], usage: null, error: SERVER_ERROR };
  if (!stream) {
    if (mode === 'cut') return JSON.stringify(done).slice(0, 60);
    return JSON.stringify(mode === 'error' ? failed : done);
  }
  let at = 0;
  const event = (type: string, fields: object) =>
    `event: ${type}\n${data({ type, sequence_number: at++, ...fields })}`;
  const item = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const begun =
    event('response.created', { response: { ...ID, status: 'in_progress', output: [] } }) +
    event('response.output_item.added', {
      output_index: 0,
      item: { ...MESSAGE, status: 'in_progress', content: [] },
    }) +
    event('response.content_part.added', {
      ...item,
      part: { type: 'output_text', text: '', annotations: [] },
    }) +
    event('response.output_text.delta', { ...item, delta: 'hello' });
  if (mode === 'cut') return begun;
  if (mode === 'error') return begun + event('response.failed', { response: failed });
  return (
    begun +
    event('response.output_text.done', { ...item, text: 'hello' }) +
    event('response.output_item.done', { output_index: 0, item: MESSAGE }) +
    event('response.completed', { response: done })
  );
}

function data(event: object): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}
