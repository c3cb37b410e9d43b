/** The judge of the attack, who must see what he is there to see. */
import { expect, it } from 'vitest';
import type { BookedCall } from '../../bench/attack/gateways.ts';
import { judge } from '../../bench/attack/judge.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import type { InvoiceLine } from '../../src/simulator/invoice.ts';

const START_MS = Date.UTC(2026, 0, 1);
const idAt = (seconds: number) => uuidV7(START_MS + seconds * 1000);

function line(id: string, costUsd: string): InvoiceLine {
  return { client_request_id: id, cost_pico_usd: String(usd(costUsd)) } as InvoiceLine;
}

function booked(id: string, costUsd: string, outcome: BookedCall['outcome'] = 'settled'): BookedCall {
  return { id, outcome, cost: usd(costUsd), hold: usd('1.00') };
}

const [ONE, TWO, THREE] = [idAt(1), idAt(2), idAt(3)];
const TRUE_BOOKS = {
  amount: usd('2.00'),
  lines: [line(ONE, '0.50'), line(TWO, '0.25'), line(THREE, '0.10')],
  booked: [booked(ONE, '0.50'), booked(TWO, '0.25'), booked(THREE, '1.00', 'unknown')],
  denials: [],
};

it('finds nothing in true books, and sums them', () => {
  expect(judge(TRUE_BOOKS)).toEqual({
    calls: 3,
    billed: usd('0.85'),
    overspend: 0n,
    unknown: usd('1.00'),
    settled: usd('0.75'),
    unused: usd('0.25'),
    lost: 0,
    double: 0,
    wrong: 0,
    falseDenials: 0,
  });
});

it('finds what was billed above the amount', () => {
  expect(judge({ ...TRUE_BOOKS, amount: usd('0.80') }).overspend).toBe(usd('0.05'));
});

it('finds a bill that nobody wrote down, and a call that was written down twice', () => {
  expect(judge({ ...TRUE_BOOKS, booked: TRUE_BOOKS.booked.slice(1) }).lost).toBe(1);
  expect(judge({ ...TRUE_BOOKS, booked: [...TRUE_BOOKS.booked, booked(ONE, '0.50')] }).double).toBe(1);
});

it.each([
  ['at less than its bill', booked(ONE, '0.49')],
  ['at more than its bill', booked(ONE, '0.51')],
  ['as unknown, below its bill', booked(ONE, '0.49', 'unknown')],
])('finds a call that was written down %s', (_, wrong) => {
  expect(judge({ ...TRUE_BOOKS, booked: [wrong, ...TRUE_BOOKS.booked.slice(1)] }).wrong).toBe(1);
});

it.each([
  // After the second call $0.75 of $2.00 is spent; after the third, of unknown outcome, $1.75.
  ['that left room for the call', 2.5, '1.25', 1],
  ['that was a cent short', 2.5, '1.26', 0],
  ['after money became unknown', 3.5, '0.26', 0],
  ['though unknown money left room', 3.5, '0.25', 1],
  ['while a call was admitted in the same moment', 2.95, '1.25', 0],
])('judges a refusal for good %s', (_, seconds, neededUsd, found) => {
  const denials = [{ atMs: START_MS + seconds * 1000, needed: usd(neededUsd) }];
  expect(judge({ ...TRUE_BOOKS, denials }).falseDenials).toBe(found);
});
