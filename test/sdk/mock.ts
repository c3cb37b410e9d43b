/** An upstream that answers each operation of the API as its schema allows, and nothing else. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findRoute } from '../../src/openai/request.ts';

const USAGE = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, input_tokens: 1, output_tokens: 1 };
/** One object that has what every answer has to have. */
const ANSWER = {
  ...{
    id: 'x_1',
    object: 'list',
    created: 1,
    created_at: 1,
    model: 'gpt-4o',
    status: 'completed',
    text: 'x',
  },
  ...{
    choices: [],
    output: [],
    data: [],
    has_more: false,
    first_id: null,
    last_id: null,
    usage: USAGE,
    input_tokens: 1,
  },
};

/** What the files hold that jobs name. */
const FILES: Readonly<Record<string, object>> = {
  input_file_id: {
    ...{ custom_id: '1', method: 'POST', url: '/v1/responses' },
    body: { model: 'gpt-4o', input: 'x', max_output_tokens: 16 },
  },
  'file-abc123': {
    messages: [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: 'y' },
    ],
  },
};

export async function startMock(): Promise<{ url: string; close(): void }> {
  const server = createServer(async (request, response) => {
    await request.toArray();
    const path = request.url ?? '';
    const isKnown = findRoute(request.method ?? '', path.startsWith('/v1') ? path : `/v1${path}`) !== null;
    const error = {
      error: { message: 'no such path', type: 'invalid_request_error', param: null, code: null },
    };
    response.writeHead(isKnown ? 200 : 404, { 'content-type': 'application/json' });
    const file = FILES[/\/files\/([^/]+)\/content$/.exec(path)?.[1] ?? ''];
    response.end(JSON.stringify(isKnown ? (file ?? ANSWER) : error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() };
}
