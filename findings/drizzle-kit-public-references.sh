#!/usr/bin/env bash
# Migrations of drizzle-kit make tables wherever search_path leads, but their foreign keys always point into the schema public.
#
# Seen with drizzle-kit 0.31.11 and drizzle-orm 0.45.4, run here on PGlite 0.3.14 (PostgreSQL in WebAssembly). For tables without a
# schema of their own the generated file says CREATE TABLE "teams", and REFERENCES "public"."teams". Two installations
# in one database, told apart by search_path: the migration of the second succeeds, and its foreign keys point to the tables
# of the first. Rows that are right are refused, and deleting a team of the first is held up by rows of the second. Where public is
# empty, the migration fails with `relation "public.teams" does not exist`.
#
# What works: take "public". out of each generated file before it is committed, as ours are (test/store/check-server.test.ts holds it).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent drizzle-kit@0.31.11 drizzle-orm@0.45.4 @electric-sql/pglite@0.3.14

cat >schema.ts <<'TS'
import { integer, pgTable } from 'drizzle-orm/pg-core';
export const teams = pgTable('teams', { id: integer().primaryKey() });
export const keys = pgTable('keys', { id: integer().primaryKey(), teamId: integer().references(() => teams.id) });
TS
npx drizzle-kit generate --dialect postgresql --schema schema.ts --out migrations >/dev/null

cat >look.js <<'JS'
import { readdirSync, readFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';

const file = readdirSync('migrations').find((name) => name.endsWith('.sql'));
const migration = readFileSync(`migrations/${file}`, 'utf8');
const db = new PGlite();
await db.exec('CREATE SCHEMA first; CREATE SCHEMA second');
const seen = [];
// Nothing in public yet: the migration of an installation with a schema of its own fails.
await db.exec('BEGIN; SET LOCAL search_path TO first');
seen.push(await db.exec(migration).then(() => 'migrated', (error) => error.message));
await db.exec('ROLLBACK');
// One installation in public, one in its own schema.
await db.exec(migration);
await db.exec('SET search_path TO second');
seen.push(await db.exec(migration).then(() => 'migrated', (error) => error.message));
const keys = await db.query("SELECT confrelid::regclass::text AS target FROM pg_constraint WHERE contype = 'f' AND conrelid = 'second.keys'::regclass");
seen.push(`second.keys references ${keys.rows[0].target}`);
await db.exec('INSERT INTO teams VALUES (1)');
seen.push(await db.exec('INSERT INTO keys VALUES (1, 1)').then(() => 'inserted', (error) => error.code));
await db.close();

const expected = ['relation "public.teams" does not exist', 'migrated', 'second.keys references public.teams', '23503'];
for (const line of seen) console.log(line);
if (seen.join() !== expected.join()) {
  console.log(`CHANGED: this finding says\n${expected.join('\n')}`);
  process.exit(1);
}
JS
node look.js
