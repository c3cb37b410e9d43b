/** Dates of forms: between what the browser's field holds, in local time, and what the API reads. */

/** `2026-11-25T14:00` → ISO 8601 with an offset; empty → null; not a date → undefined. */
export function toInstant(text: string): string | null | undefined {
  if (text === '') return null;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** ISO 8601 → what the browser's field holds. */
export function toLocalInput(instant: string | null): string {
  if (instant === null) return '';
  const date = new Date(instant);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The month in UTC, as a statement names it. */
export function monthNow(): string {
  return new Date().toISOString().slice(0, 7);
}
