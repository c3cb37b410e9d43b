/** The traffic of a month, with a planted difference of every kind. */
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { createDayReport } from '../../src/jobs/day-report.ts';
import { reconcileDays } from '../../src/jobs/reconcile-days.ts';
import { book } from '../../src/store/hot/flush.ts';
import {
  addJob,
  admin,
  bill,
  both,
  changePrice,
  costAt,
  enter,
  events,
  expect_,
  KEY,
  momentOf,
  NOW,
  OTHER,
  openBooks,
  outputOf,
  plant,
  planted,
  rates,
  simulator,
  TEXT,
} from './month-books.ts';
import {
  FILE_SEARCH,
  HEARD,
  IMAGE,
  plantUnits,
  SESSION,
  SPEECH,
  unitsOf,
  WEB_SEARCH,
  withTools,
} from './month-units.ts';

const never = new AbortController().signal;

/** Makes the ledger and the bill of the month. */
export async function openMonth(): Promise<void> {
  await openBooks();
  for (let day = 1; day <= 30; day++) ordinary(day);
  await plantDifferences();
  await book(admin.database.sql, events);
  await plant(planted);
}

let salt = 0;

/** The traffic of a day: several teams, models, tiers and products. */
function ordinary(day: number): void {
  for (let at = 0; at < 4; at++) {
    salt++;
    const team = at % 2;
    const atMs = momentOf(day, 3_600 * (2 + at) + salt);
    both({ team, atMs, usage: { ...TEXT, input_tokens: 2_000 + 37 * salt, output_tokens: 101 + salt } });
    both({
      team,
      atMs,
      model: 'gpt-4o',
      operation: 'responses',
      usage: { ...TEXT, output_tokens: 77 + salt },
    });
  }
  const atMs = momentOf(day, 36_000 + salt);
  both({
    atMs,
    model: 'text-embedding-3-small',
    operation: 'embeddings',
    usage: { input_tokens: 5_003 + salt },
  });
  both({ atMs, model: 'gpt-4o', tier: 'priority', usage: { input_tokens: 3_007, output_tokens: 211 } });
  enter({ atMs, model: 'gpt-4o', outcome: 'voided', reason: 'upstream_error', costUsd: '0', usage: {} });
  unitsOf(SPEECH, { atMs, usage: { characters: 777 } }, 777);
  unitsOf(HEARD, { atMs, usage: { audio_seconds: 90_000_000 } }, 90);
  unitsOf(IMAGE, { atMs, usage: { images: 1 }, costUsd: '0.04' }, 1);
  const container = enter({
    atMs,
    model: 'container',
    operation: 'containers.create',
    costUsd: '0.03',
    usage: { container_sessions: 1 },
  });
  bill({ ...container, usage: {}, usd: '0.03', units: { unit: 'sessions', amount: 1 } });
  const stored = enter({
    atMs,
    model: 'vector_store',
    operation: 'vector_stores.storage',
    usage: { storage_gib_days: 1_000_000 },
  });
  bill({ ...stored, usage: {}, usd: formatUsd(stored.cost), units: { unit: 'bytes', amount: 2 ** 31 } });
  // Tools cost beside their tokens.
  withTools(atMs, { web_search_calls: 2 }, [WEB_SEARCH(2)]);
  withTools(atMs, { file_search_calls: 3 }, [FILE_SEARCH(3)]);
  withTools(atMs, { container_sessions: 1 }, [SESSION(1)]);
  withTools(atMs, { web_search_calls: 1, file_search_calls: 1 }, [WEB_SEARCH(1), FILE_SEARCH(1)]);
}

async function plantDifferences(): Promise<void> {
  const outside = { input_tokens: 40_001, output_tokens: 3_003 };
  const call = (day: number, model: string, usage: object, tier = 'default', second = 50_000) => ({
    ...{ model, operation: 'chat.completions', tier, atMs: momentOf(day, second), usage },
  });
  // 2: another application calls with a key of its own.
  bill(call(2, 'gpt-4o', outside), OTHER);
  expect_(2, 'outside_gateway', costAt('gpt-4o', 2, { input_tokens: 40_001 }));
  expect_(2, 'outside_gateway', costAt('gpt-4o', 2, { output_tokens: 3_003 }));
  // 3: a line that no price is of.
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(3)).toISOString(),
    line_item: 'Data residency uplift',
    usd: '2.5',
  });
  expect_(3, 'unpriced_line', usd('2.5'));
  // 4: a token of output costs $0.75 a million, instead of $0.60, for a day.
  changePrice('gpt-4o-mini-2024-07-18, output', 4, '0.75', '0.6');
  expect_(4, 'price_changed', outputOf('gpt-4o-mini', 4) * 150_000n);
  // 5: two causes in one line item.
  changePrice('gpt-4o-2024-08-06, output', 5, '12.5', '10');
  bill(call(5, 'gpt-4o', { output_tokens: 3_003 }), OTHER);
  expect_(5, 'outside_gateway', 3_003n * 12_500_000n);
  expect_(5, 'price_changed', outputOf('gpt-4o', 5) * 2_500_000n);
  // 7 and 8: a batch that is held on one day is billed on the next.
  const batch = { input_tokens: 70_007, output_tokens: 9_009 };
  const job = enter({
    atMs: momentOf(7, 86_000),
    model: 'gpt-4o-mini',
    operation: 'batches.create',
    tier: 'batch',
    usage: batch,
  });
  await addJob(job.id, job.atMs, momentOf(8, 9_000));
  bill(call(8, 'gpt-4o-mini', batch, 'batch', 8_000));
  expect_(7, 'late_batch', -costAt('gpt-4o-mini', 7, batch, 'batch'));
  expect_(8, 'late_batch', costAt('gpt-4o-mini', 8, batch, 'batch'));
  // 9: the client leaves, the upstream bills all of it; 10: a call that was never served; 11: an estimate that was too low.
  const open = {
    model: 'gpt-4o-mini',
    provenance: 'unknown',
    outcome: 'unknown',
    costUsd: '0.05',
    usage: {},
  } as const;
  enter({ ...open, atMs: momentOf(9), reason: 'client_gone' });
  bill(call(9, 'gpt-4o-mini', TEXT));
  expect_(9, 'disconnect', costAt('gpt-4o-mini', 9, TEXT) - usd('0.05'));
  enter({ ...open, atMs: momentOf(10), reason: 'upstream_error', team: 1 });
  enter({ ...open, atMs: momentOf(10), reason: 'upstream_error' });
  expect_(10, 'unknown_outcome', -usd('0.1'));
  enter({
    ...open,
    atMs: momentOf(11),
    outcome: 'settled',
    provenance: 'estimated',
    reason: 'usage_missing',
    costUsd: '0.01',
  });
  bill(call(11, 'gpt-4o-mini', TEXT));
  expect_(11, 'estimated_outcome', costAt('gpt-4o-mini', 11, TEXT) - usd('0.01'));
  // 12: an application calls with the gateway's own key, more often than calls of the gateway may have been served unseen.
  bill(call(12, 'gpt-4o', { input_tokens: 40_001 }));
  bill(call(12, 'gpt-4o', { output_tokens: 3_003 }, 'default', 50_001));
  expect_(12, 'outside_gateway', costAt('gpt-4o', 12, outside));
  // 13: a dollar of unknown cause; 14: the same on a line that has a known cause too.
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(13)).toISOString(),
    line_item: 'gpt-4o-mini-2024-07-18, input',
    usd: '1',
    api_key: KEY,
  });
  expect_(13, 'unexplained', usd('1'));
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(14)).toISOString(),
    line_item: 'gpt-4o-mini-2024-07-18, input',
    usd: '1',
    api_key: KEY,
  });
  bill(call(14, 'gpt-4o-mini', { input_tokens: 8_008 }), OTHER);
  expect_(14, 'outside_gateway', costAt('gpt-4o-mini', 14, { input_tokens: 8_008 }));
  expect_(14, 'unexplained', usd('1'));
  // 15 and 16: a call over midnight.
  enter({ atMs: momentOf(15, 86_390), forwardUs: 20_000_000 });
  bill(call(16, 'gpt-4o-mini', TEXT, 'default', 5));
  expect_(15, 'day_boundary', -costAt('gpt-4o-mini', 15, TEXT));
  expect_(16, 'day_boundary', costAt('gpt-4o-mini', 16, TEXT));
  plantUnits();
}

/** Runs the job as it would run then. */
export function run(
  nowMs = Date.parse(NOW),
  { upstream = null as string | null, at = simulator } = {},
): Promise<number | null> {
  const read = createDayReport({ baseUrl: at.url, adminKey: 'sk-admin-month', keys: [KEY] });
  return reconcileDays(
    {
      database: admin.database,
      upstream,
      readDay: (dayMs, signal) => {
        // 20: the bill is rounded.
        at.setProfile({ costDecimals: dayMs === momentOf(20, 0) ? 6 : 12 });
        return read(dayMs, signal);
      },
      rates: () => rates,
      callDurationMs: 3_600_000,
      reportDelayMs: 3_600_000,
      finalAfterDays: 3,
      nowMs: () => nowMs,
    },
    never,
  );
}
