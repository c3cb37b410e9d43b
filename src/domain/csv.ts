/** CSV as RFC 4180 has it, safe to open in a spreadsheet. Pure. */

/** Returns a line of cells, its end included. */
export function csvLine(cells: readonly unknown[]): string {
  return `${cells.map((cell) => cellOf(String(cell ?? ''))).join(',')}\r\n`;
}

/**
 * Callers choose the names of models and users, and a spreadsheet runs text that begins like a formula: such text gets
 * an apostrophe before it (OWASP, "CSV Injection"). Programs skip what is blank or cannot be seen before it, read
 * full-width signs as the plain ones, and some split a cell at a line's end. Negative amounts stay numbers.
 */
const FORMULA = /(?:^|[\r\n])[\s\p{C}\p{Z}]*[=+\-@|%＝＋－﹣−＠﹦﹢﹫]|^[\s\p{C}]/u;

function cellOf(text: string): string {
  const safe = FORMULA.test(text) && !/^-\d+(?:\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
