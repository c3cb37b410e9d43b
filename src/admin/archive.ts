/** Route: what of the events was archived, and what waits for it. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ArchivedMonth, eventsSince, listArchive } from '../store/archive.ts';
import { Archive, ArchiveQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { route } from './route.ts';

export function archiveRoute(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'From which moment on events are in the ledger, and the months that were archived as files';
  route(
    app,
    { method: 'get', path: '/archive', summary, query: ArchiveQuery, response: Archive },
    async ({ teams }) => {
      const months = await listArchive(database);
      const shown = teams === undefined ? months : [];
      return { events_since: instantOf(eventsSince(months)), months: shown.map(toMonth) };
    },
  );
}

function toMonth(row: ArchivedMonth): z.input<typeof Archive>['months'][number] {
  return {
    month: row.month.toISOString().slice(0, 7),
    events: row.events,
    cost_usd: moneyOf(row.costUsd),
    files: row.files,
    folder: row.folder,
    manifest_sha256: row.manifestSha256,
    archived_at: instantOf(row.archivedAt),
    waits_for: row.waitsFor,
  };
}
