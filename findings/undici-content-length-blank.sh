#!/usr/bin/env bash
# undici fails a response whose Content-Length has a blank or a tab behind the number.
#
# Seen with undici 8.12.4 and 8.13.1 (the newest) on Node 24. Blanks around a field's value are no part of it (RFC 9112,
# section 5), and llhttp, the parser that undici runs, reads the length rightly and finds the end of the body. But undici
# adds up the digits of the value once more, takes the blank for one of them (2 becomes 2 × 10 + 32 − 48 = 4), and compares:
# the call ends with UND_ERR_RES_CONTENT_LENGTH_MISMATCH after the whole body has come. curl and node:http take the same
# response. Found by holding our own client equal to undici on generated responses (`npm run fuzz`).
#
# What works: compare nothing. llhttp has framed the body; when it says that the message is complete, it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent undici@8.12.4 undici-newer@npm:undici@8.13.1

cat >look.js <<'JS'
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:net';

const LENGTHS = { 'no blank': '2', blank: '2 ', tab: '2\t' };
const EXPECTED = { 'no blank': 'ok', blank: 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', tab: 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' };

async function viaNode(url) {
  const [response] = await once(get(url, { agent: false }), 'response');
  return (await response.toArray()).join('');
}

let changed = false;
for (const [name, length] of Object.entries(LENGTHS)) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\nok`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}`;
  console.log(`${name}: node:http ${await viaNode(url)}`);
  for (const version of ['undici', 'undici-newer']) {
    const { Client } = await import(version);
    const client = new Client(url);
    const seen = await client
      .request({ method: 'GET', path: '/' })
      .then(({ body }) => body.text())
      .catch((error) => error.code);
    console.log(`  ${version.padEnd(12)} ${seen}`);
    if (seen !== EXPECTED[name]) {
      console.log(`    CHANGED: this finding says ${EXPECTED[name]}`);
      changed = true;
    }
    await client.destroy();
  }
  server.close();
}
process.exit(changed ? 1 : 0);
JS
node look.js
