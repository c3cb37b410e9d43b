#!/usr/bin/env bash
# Three of OpenAI's own clients do three different things with a Retry-After of more than a minute.
#
# Seen with openai 6.49.0 and 7.59.0 (npm) and 3.57.0 (PyPI), each with its default of 2 retries, against a server that
# returns 429 with `retry-after`:
#   openai 6, Node   sleeps for as long as it is told, 90 s or a day; its `timeout` counts for each request and does not end the sleep
#   openai 7, Node   takes more than 60 s for nonsense, and asks again after half a second, at the pace of its own backoff
#   openai, Python   sleeps up to two minutes as told; for more it does not ask again at all, even where `x-should-retry: true` is said
# So a gateway that counts to the end of a budget's hour freezes one client, is pressed by the next and ends the third.
#
# What works: a server that never says more than 60 seconds, as ours; all three wait for as long as it says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent openai@7.59.0 openai-six@npm:openai@6.49.0
python3 -m venv venv
venv/bin/pip install --quiet openai==3.57.0

cat >call.py <<'PY'
import os, openai
try:
    openai.OpenAI(base_url=os.environ["URL"], api_key="k").models.list()
except openai.RateLimitError:
    pass
PY
cat >look.js <<'JS'
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import OpenAI from 'openai';
import OpenAISix from 'openai-six';

const PATIENCE_MS = 15_000;
const quiet = { apiKey: 'k', timeout: 2000, logLevel: 'off' };
async function python(baseURL, signal) {
  const child = spawn('venv/bin/python', ['call.py'], { env: { ...process.env, URL: baseURL }, signal });
  child.on('error', () => {});
  await once(child, 'exit');
}
const CLIENTS = {
  'openai 6, Node': [(baseURL, signal) => new OpenAISix({ ...quiet, baseURL }).models.list({ signal }), '1, asleep', '1, asleep'],
  'openai 7, Node': [(baseURL, signal) => new OpenAI({ ...quiet, baseURL }).models.list({ signal }), '3, gave up', '3, gave up'],
  'openai, Python': [python, '1, asleep', '1, gave up'],
};

async function look(call, seconds) {
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.writeHead(429, { 'retry-after': String(seconds), 'x-should-retry': 'true', 'content-type': 'application/json' });
    response.end('{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = new AbortController();
  const ended = call(`http://127.0.0.1:${server.address().port}/v1`, end.signal).then(
    () => 'gave up',
    () => 'gave up',
  );
  let timer;
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, 'asleep');
  });
  const how = await Promise.race([ended, patience]);
  clearTimeout(timer);
  end.abort();
  server.closeAllConnections();
  server.close();
  return `${requests}, ${how}`;
}

let changed = false;
console.log(`Requests, and what the client does ${PATIENCE_MS / 1000} s later:`);
for (const [name, [call, ...expected]] of Object.entries(CLIENTS)) {
  for (const [index, seconds] of [90, 300].entries()) {
    const seen = await look(call, seconds);
    console.log(`  ${name}, retry-after ${seconds}: ${seen}`);
    if (seen !== expected[index]) {
      console.log(`    CHANGED: this finding says ${expected[index]}`);
      changed = true;
    }
  }
}
process.exit(changed ? 1 : 0);
JS
node look.js
