/**
 * Which texts Postgres stores: those with neither NUL nor half a surrogate pair. A statement with another fails each time,
 * which would look as if the database were away.
 */

export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Returns the text with U+FFFD in the place of what cannot be stored. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}
