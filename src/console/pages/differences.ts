/** The fields in which two versions of a row differ, as text. Pure. */
export interface Difference {
  field: string;
  /** Null: not set. */
  before: string | null;
  after: string | null;
}

type Version = Record<string, unknown> | null;

/** Columns that identify the row, or that every change sets: they do not describe the change. */
const IGNORED = new Set(['id', 'team_id', 'created_at', 'updated_at', 'version', 'hash', 'key_hash']);

export function differences(before: Version, after: Version): Difference[] {
  const fields = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return fields
    .filter((field) => !IGNORED.has(field))
    .map((field) => ({ field, before: textOf(before?.[field]), after: textOf(after?.[field]) }))
    .filter((each) => each.before !== each.after);
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value.join(', ');
  return JSON.stringify(value);
}
