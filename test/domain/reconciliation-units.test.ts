/** What a day's numbers tell of tools: calls that the gateway did not make, and what no number tells. */
import { expect, test } from 'vitest';
import type { CostRow, DayInput, LedgerRow, UsageRow } from '../../src/domain/differences.ts';
import type { Quantities } from '../../src/domain/quantities.ts';
import { reconcileDay } from '../../src/domain/reconciliation.ts';
import { seed } from './fixtures.ts';

const USD = 10n ** 12n;
const OWN = 'key_own';
const priceOf = (model: string, tier: string) =>
  seed.prices.find((price) => price.tier === tier && price.id.startsWith(`${model}/`)) ?? null;

/** A call of gpt-4o without tokens, for which the upstream ran tools. */
const row = (usage: Quantities, cost: bigint, more: Partial<LedgerRow> = {}): LedgerRow => ({
  ...{ model: 'gpt-4o', tier: 'default', subject: 'text', state: 'reported', isLong: false, calls: 1 },
  ...{ price: priceOf('gpt-4o', 'default'), usage, cost, held: cost, corrected: 0n, correctedCalls: 0 },
  ...more,
});
const line = (lineItem: string, amount: bigint): CostRow => ({
  ...{ lineItem, projectId: null, apiKeyId: OWN, amount, decimals: 12, quantity: null },
});
const report = (name: string, units: number, apiKeyId: string | null = OWN): UsageRow => ({
  ...{ report: name, apiKeyId, model: null, tier: null, requests: 0, tokens: null, units },
});
const explain = (day: Pick<DayInput, 'ledger' | 'costs' | 'usage'>) =>
  reconcileDay({ ...day, crossing: [], ownKeys: new Set([OWN]), priceOf }).differences.map(
    ({ kind, with: others, lineItem, quantity, amount }) => ({ kind, others, lineItem, quantity, amount }),
  );

const SEARCHES = 'web search tool calls';
const FILES = 'file search tool calls';
const SESSIONS = 'code interpreter sessions';

test('a search too few of one tool does not hide one too many of another', () => {
  const ledger = [row({ web_search_calls: 4, file_search_calls: 4 }, (5n * USD) / 100n)];
  const usage = [report('web_search_calls', 3), report('file_search_calls', 8)];
  const costs = [line(SEARCHES, (3n * USD) / 100n), line(FILES, (2n * USD) / 100n)];
  expect(explain({ ledger, usage, costs })).toEqual([
    { kind: 'outside_gateway', others: [], lineItem: FILES, quantity: 4, amount: USD / 100n },
    { kind: 'unexplained', others: [], lineItem: SEARCHES, quantity: 3, amount: -USD / 100n },
  ]);
});

test('calls of unknown outcome may have run what the ledger does not know', () => {
  const lost = row({}, 0n, { state: 'disconnect', held: USD });
  const found = explain({
    ledger: [row({ web_search_calls: 1 }, USD / 100n), lost],
    usage: [report('web_search_calls', 3)],
    costs: [line(SEARCHES, (3n * USD) / 100n)],
  });
  expect(found).toEqual([
    { kind: 'outside_gateway', others: ['disconnect'], lineItem: SEARCHES, quantity: 2, amount: USD / 50n },
  ]);
});

test('no more is named than is billed, and what no report counts stays unexplained', () => {
  const ledger = [row({ container_sessions: 4 }, (12n * USD) / 100n)];
  const costs = [line(SESSIONS, (18n * USD) / 100n)];
  // Its session of four GiB counts as four here, and as one in the report.
  expect(explain({ ledger, costs, usage: [report('code_interpreter_sessions', 5, null)] })).toEqual([
    { kind: 'outside_gateway', others: [], lineItem: SESSIONS, quantity: 1, amount: (3n * USD) / 100n },
    { kind: 'unexplained', others: [], lineItem: SESSIONS, quantity: null, amount: (3n * USD) / 100n },
  ]);
  expect(explain({ ledger, costs, usage: [] }).map(({ kind, amount }) => [kind, amount])).toEqual([
    ['unexplained', (6n * USD) / 100n],
  ]);
});

test('where a line item does not name its tool, all tools are compared in sum', () => {
  const ledger = [row({ web_search_calls: 1, file_search_calls: 4 }, USD / 50n)];
  const usage = [report('web_search_calls', 1), report('file_search_calls', 4)];
  expect(explain({ ledger, usage, costs: [line('hosted tool calls', USD / 50n)] })).toEqual([]);
  // Several tools at a price that no row is of: the same.
  const preview = { web_search_preview_calls: 1, image_tool_output_tokens: 900 };
  const both = [row(preview, USD / 25n)];
  const costs = [line(SEARCHES, USD / 100n), line('image generation tool calls', (3n * USD) / 100n)];
  expect(explain({ ledger: both, usage: [], costs })).toEqual([]);
});
