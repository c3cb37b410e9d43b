/** Route: the audit log. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type AuditRow, listAudit } from '../store/audit.ts';
import { Audit, type AuditEntry, AuditQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf, pageOf, teamOf } from './page.ts';
import { route } from './route.ts';

export function auditRoute(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'List changes, newest first: who, what, before and after';
  route(
    app,
    { method: 'get', path: '/audit', summary, query: AuditQuery, response: Audit },
    async ({ query, teams: teamIds }) => {
      const { resource, resource_id: resourceId } = query;
      return pageOf(query, {
        list: (page) => listAudit(database, { ...page, resource, resourceId, teamIds }),
        idOf: (row) => row.id,
        view: toEntry,
      });
    },
  );
}

function toEntry(row: AuditRow): z.input<typeof AuditEntry> {
  return {
    id: row.id,
    at: instantOf(row.at),
    actor: row.actor,
    action: row.action,
    resource: row.resource,
    resource_id: row.resourceId,
    team_id: row.teamId && teamOf(row.teamId),
    before: written(row.before),
    after: written(row.after),
  };
}

/** Returns a row's values as the other routes write them: times and amounts alike, whatever the database's settings. */
function written(row: Record<string, unknown> | null): Record<string, unknown> | null {
  if (row === null) return null;
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, textOf(name, value)]));
}

function textOf(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (name === 'team_id') return teamOf(value);
  if (/_(at|from)$/.test(name)) return new Date(value).toISOString();
  return /^(amount|max_hold|max_unknown)$|_usd$/.test(name) ? moneyOf(value) : value;
}
