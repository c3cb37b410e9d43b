/**
 * Windows as the judge tells them apart: by the date that a clock on the wall shows, asked of the platform's own
 * calendar. It shares no code with the windows that it judges.
 */
import type { Window } from '../../../src/domain/window.ts';

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The name of the window in which a moment lies; two moments of one window get the same. */
export function windowName(window: Window, atMs: number): string {
  if (window.type === 'lifetime') return 'ever';
  if (window.type === 'rolling') return 'rolling';
  const date = wallDate(window.timeZone, atMs);
  if (window.unit === 'day') return date;
  return window.unit === 'month' ? date.slice(0, 7) : mondayOf(date);
}

function wallDate(timeZone: string, atMs: number): string {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' });
    formats.set(timeZone, format);
  }
  return format.format(atMs);
}

function mondayOf(date: string): string {
  const ms = Date.parse(date);
  const weekday = (new Date(ms).getUTCDay() + 6) % 7;
  return new Date(ms - weekday * DAY_MS).toISOString().slice(0, 10);
}
