/** Responses as people read them in a terminal: a table of a list, lines of one thing. Pure. */
import { type Api, itemSchema, resolved, type Schema } from './document.ts';

/** What of a wide row is worth a terminal's width; `--columns` shows others, `--json` all. */
const PREFERRED: Record<string, readonly string[]> = {
  audit: ['created_at', 'actor', 'action', 'resource', 'resource_id', 'team_id'],
  differences: ['kind', 'amount_usd', 'corrected_usd', 'calls', 'posted', 'id'],
  events: [
    'created_at',
    'team_name',
    'key_name',
    'model',
    'operation',
    'outcome',
    'input_tokens',
    'output_tokens',
    'cost_usd',
    'id',
  ],
  grants: [
    'id',
    'name',
    'team_id',
    'amount_usd',
    'settled_usd',
    'held_usd',
    'remaining_usd',
    'starts_at',
    'expires_at',
  ],
  keys: ['id', 'name', 'team_id', 'prefix', 'models', 'expires_at', 'revoked_at'],
  limits: [
    'id',
    'name',
    'subject',
    'meter',
    'amount',
    'settled',
    'held',
    'remaining',
    'window',
    'resets_at',
    'enforcement',
    'models',
  ],
  prices: [
    'id',
    'model',
    'tier',
    'effective_from',
    'input_usd',
    'cached_input_usd',
    'output_usd',
    'per_tokens',
    'origin',
  ],
  teams: ['id', 'name', 'plan', 'unlimited', 'models', 'grants', 'created_at'],
  unknown: ['created_at', 'team_name', 'key_name', 'model', 'reason', 'cost_usd', 'id'],
};

/** These stand at the right of their column. */
const NUMBER = /^-?\d+(?:\.\d+)?$/;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns a list as a table with a heading, or that it is empty. */
export function tableOf(
  rows: readonly unknown[],
  noun: string,
  columns: readonly string[] | null,
  api: Api,
  reply: Schema | null,
): string {
  // What a limit has used stands in a part of its own.
  const records = rows.filter(isRecord).map((row) => (isRecord(row.state) ? { ...row, ...row.state } : row));
  if (records.length === 0) return 'none\n';
  const names = columns ?? columnsOf(records, noun, api, reply);
  const cells = [
    names.map((name) => name.toUpperCase()),
    ...records.map((row) => names.map((name) => cellOf(row[name]))),
  ];
  return `${aligned(cells).join('\n')}\n`;
}

/** The preferred columns that there are, else all of the item's; without those that are empty in every row. */
function columnsOf(
  rows: readonly Record<string, unknown>[],
  noun: string,
  api: Api,
  reply: Schema | null,
): string[] {
  const all = reply === null ? [] : Object.keys(itemSchema(reply, api.schemas).properties ?? {});
  const known = [...new Set([...all, ...rows.flatMap((row) => Object.keys(row))])];
  const preferred = PREFERRED[noun]?.filter((name) => known.includes(name)) ?? [];
  const names = preferred.length > 0 ? preferred : known;
  const filled = names.filter((name) => rows.some((row) => row[name] !== undefined && row[name] !== null));
  return filled.length > 0 ? filled : names;
}

/** Columns as wide as their widest cell, numbers at the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const count = Math.max(...rows.map((row) => row.length));
  const columns = Array.from({ length: count }, (_, at) => {
    const cells = rows.map((row) => row[at] ?? '');
    const isNumber =
      cells.slice(1).some((cell) => NUMBER.test(cell)) &&
      cells.slice(1).every((cell) => cell === '-' || NUMBER.test(cell));
    return { width: Math.max(...cells.map((cell) => cell.length)), isNumber };
  });
  return rows.map((row) =>
    row
      .map((cell, at) => {
        const { width = 0, isNumber = false } = columns[at] ?? {};
        return isNumber ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Returns one thing line by line; lists inside it as tables. */
export function linesOf(value: unknown, api: Api, reply: Schema | null): string {
  if (!isRecord(value)) return value === null ? '' : `${JSON.stringify(value, null, 2)}\n`;
  const order = Object.keys(reply === null ? {} : (resolved(reply, api.schemas).properties ?? {}));
  const names = [
    ...order.filter((name) => name in value),
    ...Object.keys(value).filter((name) => !order.includes(name)),
  ];
  const isTable = (name: string) =>
    Array.isArray(value[name]) && value[name].length > 0 && value[name].every(isRecord);
  const plain = names.filter((name) => !isTable(name));
  const width = Math.max(0, ...plain.map((name) => name.length)) + 2;
  const lines = plain.map((name) => `${name.padEnd(width)}${cellOf(value[name])}`);
  const tables = names
    .filter(isTable)
    .flatMap((name) => ['', name, tableOf(value[name] as unknown[], name, null, api, null).trimEnd()]);
  return `${[...lines, ...tables].join('\n')}\n`;
}

/** Control characters of names would move the cursor. */
function shown(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}

export function cellOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) {
    if (value.length === 0) return '-';
    if (value.every(isRole))
      return shown(value.map(({ role, scope }) => `${role}@${kindCell(scope)}`).join(','));
    return value.every((item) => typeof item !== 'object') ? shown(value.join(',')) : String(value.length);
  }
  if (!isRecord(value)) return shown(String(value));
  if (typeof value.type === 'string') return shown(kindCell(value));
  const entries = Object.entries(value);
  if (entries.length === 0) return '-';
  return shown(
    entries.every(([, part]) => typeof part !== 'object')
      ? entries.map(([name, part]) => `${name}=${part}`).join(',')
      : JSON.stringify(value),
  );
}

function isRole(value: unknown): value is { role: unknown; scope: Record<string, unknown> } {
  return isRecord(value) && 'role' in value && isRecord(value.scope);
}

/** Subjects, scopes and windows as they are written on the command line; of a window that begins elsewhere also where. */
function kindCell({
  type,
  id,
  unit,
  time_zone: zone,
  seconds,
  name,
  value,
  ...others
}: Record<string, unknown>): string {
  if (unit !== undefined) {
    const begin = Object.entries(others).map(([part, number]) => ` ${part}=${number}`);
    return `${unit}@${zone}${begin.join('')}`;
  }
  if (seconds !== undefined) return `rolling:${seconds}`;
  if (name !== undefined) return `${type}:${name}${typeof value === 'string' ? `=${value}` : ''}`;
  return typeof id === 'string' ? `${type}:${id}` : String(type);
}
