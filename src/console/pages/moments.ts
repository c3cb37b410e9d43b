/** Moments of forms: what the browser's field holds, in its own time zone, and what the API reads. */

/** `2026-11-25T14:00` → ISO 8601 with an offset; empty → null; undefined: it is no moment. */
export function momentOf(text: string): string | null | undefined {
  if (text === '') return null;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** ISO 8601 → what the browser's field holds. */
export function localOf(instant: string | null): string {
  if (instant === null) return '';
  const date = new Date(instant);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
