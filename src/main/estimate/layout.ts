/** Columns and amounts as people read them in a terminal. Pure. */
import type { PicoUsd } from '../../domain/money.ts';
import { grouped, quotientText, trimmed } from '../../planner/numbers.ts';

const PICO_PER_CENT: PicoUsd = 10_000_000_000n;

/** Lines of columns as wide as their widest cell, aligned left (`l`) or right (`r`). */
export function table(rows: readonly (readonly string[])[], align: string): string[] {
  const widths = [...align].map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        align[column] === 'r' ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** To the cent, as an invoice has it; rounded up, so that no cost is shown too low. */
export function dollars(amount: PicoUsd): string {
  const cents = (amount + PICO_PER_CENT - 1n) / PICO_PER_CENT;
  return `$${grouped(quotientText(cents, 100n, 2))}`;
}

/** Cents where they say enough, more digits below a dollar. */
export function amount(value: PicoUsd): string {
  return value >= 100n * PICO_PER_CENT ? dollars(value) : fine(value);
}

/** Of a single call: all digits down to a millionth of a dollar, at least two; smaller ones round up. */
export function fine(amount: PicoUsd): string {
  const millionths = (amount + 999_999n) / 1_000_000n;
  const text = trimmed(quotientText(millionths, 1_000_000n, 6));
  const [whole = '', fraction = ''] = text.split('.');
  return `$${grouped(whole)}.${fraction.padEnd(2, '0')}`;
}

/** Three digits and the unit: `$4.67M`, rounded half up. */
export function short(amount: PicoUsd): string {
  const units: [PicoUsd, string][] = [
    [10n ** 24n, 'T'],
    [10n ** 21n, 'B'],
    [10n ** 18n, 'M'],
  ];
  for (const [unit, letter] of units) {
    if (amount >= unit) return `$${grouped(quotientText(amount, unit, 2))}${letter}`;
  }
  return dollars(amount);
}
