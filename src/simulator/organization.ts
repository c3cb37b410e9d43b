/**
 * What an administrator asks of the organization: usage reports, costs, projects and their keys. It never meets a fault, for
 * it is the evidence after faults.
 */
import { costsJson } from './costs.ts';
import { unknownUrl } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { InvoiceLine } from './invoice.ts';
import { checkAdminKey, redactedKey } from './keys.ts';
import { isUsageReport, ONLY_PROJECT, usageJson } from './usage.ts';

const ROOT = '/v1/organization/';

export function isOrganization(path: string): boolean {
  return path.startsWith(ROOT);
}

export function handleOrganization(exchange: Exchange, path: string): void {
  const { state, request, entry } = exchange;
  const { method = 'GET', url = '' } = request;
  const error = checkAdminKey(request.headers.authorization, state.keys);
  const name = path.slice(ROOT.length);
  if (error) {
    exchange.respondError(error);
    return;
  }
  const search = new URLSearchParams(url.split('?', 2)[1]);
  const json = method === 'GET' ? answerOf(exchange, name, search) : null;
  if (json === null) exchange.respondError(unknownUrl(method, path));
  else if (typeof json === 'string') {
    entry.operation = name.replace('/', '.');
    exchange.send(200, 'application/json', json, 0n);
  } else exchange.respondError(json);
}

function answerOf({ state }: Exchange, name: string, search: URLSearchParams) {
  const nowMs = Date.now();
  const nowSeconds = Math.floor(nowMs / 1000);
  const olderThan = (lagMs: number) => {
    const until = new Date(nowMs - lagMs).toISOString();
    return state.invoice.lines().filter(({ at }) => lagMs === 0 || at <= until);
  };
  const { usageLagMs, costsLagMs, costDecimals } = state.profile;
  if (name === 'costs') {
    const planted = state.planted.olderThan(nowMs - costsLagMs);
    return costsJson(olderThan(costsLagMs), planted, costDecimals, search, nowSeconds);
  }
  const report = name.startsWith('usage/') ? name.slice('usage/'.length) : '';
  if (isUsageReport(report)) return usageJson(report, olderThan(usageLagMs), search, nowSeconds);
  const projects = projectsOf(state.invoice.lines());
  if (name === 'projects') return listJson([...projects.keys()].map(projectOf), search);
  const project = /^projects\/([^/]+)\/api_keys$/.exec(name)?.[1];
  return project === undefined ? null : listJson([...(projects.get(project) ?? [])].flatMap(keyOf), search);
}

/** By project, the ids of the keys that were used in it. */
function projectsOf(lines: readonly InvoiceLine[]): Map<string, Set<string>> {
  const projects = new Map<string, Set<string>>([[ONLY_PROJECT, new Set()]]);
  for (const { project_id: project = ONLY_PROJECT, api_key_id: key } of lines) {
    const keys = projects.get(project) ?? new Set();
    if (key !== null) keys.add(key);
    projects.set(project, keys);
  }
  return projects;
}

function projectOf(id: string) {
  return { id, object: 'organization.project', name: id, created_at: 0, archived_at: null, status: 'active' };
}

function keyOf(id: string) {
  const value = redactedKey(id);
  if (value === null) return [];
  const owner = { type: 'service_account', service_account: { id: 'svc_simulated', name: 'simulated' } };
  return [
    { object: 'organization.project.api_key', redacted_value: value, name: id, created_at: 0, id, owner },
  ];
}

function listJson(all: { id: string }[], search: URLSearchParams): string {
  const after = search.get('after');
  const from = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
  const to = from + Number(search.get('limit') ?? 20);
  const data = all.slice(from, to);
  const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  return JSON.stringify({ object: 'list', data, ...ends, has_more: to < all.length });
}
