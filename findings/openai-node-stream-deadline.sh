#!/usr/bin/env bash
# With openai for Node a stream that runs into the caller's own deadline ends like a complete one, and `timeout` never ends it.
#
# Seen with openai 7.59.0 and 6.49.0 (npm) on Node 20 and 24, against a server that sends one chunk of a chat and then nothing.
#   timeout: 500                          the loop over the stream waits for ever: it counts until the headers have come
#   signal: AbortSignal.timeout(500)      the loop ends without an error after the first chunk, as if the answer were whole
#   the same, before the headers came     throws APIUserAbortError, as one expects
# So code that asks for a deadline gets half an answer and no sign of it but a finish_reason that never came.
#
# What works: look at signal.aborted, or for a finish_reason, after the loop; a gateway that ends a silent stream with an error
# event, which the SDK does throw, as ours does (docs/CLIENTS.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent openai@7.59.0 openai-six@npm:openai@6.49.0

cat >look.js <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';
import OpenAI from 'openai';
import OpenAISix from 'openai-six';

const delta = { content: 'Pay no' };
const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: null }] };
const server = createServer((request, response) => {
  if (request.headers['x-silent'] !== undefined) return;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`data: ${JSON.stringify(chunk)}\n\n`);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const baseURL = `http://127.0.0.1:${server.address().port}/v1`;

async function read(client, options) {
  let text = '';
  try {
    const stream = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Pay?' }], stream: true }, options);
    for await (const { choices } of stream) text += choices[0].delta.content;
    return `ended without an error: ${text}`;
  } catch (error) {
    return `threw ${error.constructor.name}`;
  }
}
const LOOKS = [
  ['timeout', () => ({ timeout: 500 }), 'still waits'],
  ['signal', () => ({ signal: AbortSignal.timeout(500) }), 'ended without an error: Pay no'],
  ['signal, no headers', () => ({ signal: AbortSignal.timeout(500), headers: { 'x-silent': '1' } }), 'threw APIUserAbortError'],
];

let changed = false;
for (const [name, Client] of [['openai 7', OpenAI], ['openai 6', OpenAISix]]) {
  const client = new Client({ baseURL, apiKey: 'k', maxRetries: 0 });
  for (const [what, options, expected] of LOOKS) {
    const patience = new Promise((resolve) => setTimeout(resolve, 10_000, 'still waits'));
    const seen = await Promise.race([read(client, options()), patience]);
    console.log(`${name}, ${what}: ${seen}`);
    if (seen !== expected) {
      console.log(`  CHANGED: this finding says ${expected}`);
      changed = true;
    }
  }
}
process.exit(changed ? 1 : 0);
JS
node look.js
