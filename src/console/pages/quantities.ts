/** Meters as people read them. */

/** Returns `audio seconds` for `audio_seconds`: names of meters are the same words in every language. */
export function nameOf(meter: string): string {
  return meter.replaceAll('_', ' ');
}
