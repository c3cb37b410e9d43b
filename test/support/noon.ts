/** For windows and days of the calendar that must not end while a test runs, whenever that is. */

/**
 * Returns a time zone without daylight saving in which it is the hour after noon: no day, week, month or year of it begins or
 * ends within eleven hours of `nowMs`, in milliseconds since the epoch.
 */
export function noonZone(nowMs: number = Date.now()): string {
  const ahead = 12 - new Date(nowMs).getUTCHours();
  // Names of these zones have the sign of POSIX: what is ahead of UTC is negative (tz database, file `etcetera`).
  return ahead === 0 ? 'Etc/GMT' : `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`;
}
