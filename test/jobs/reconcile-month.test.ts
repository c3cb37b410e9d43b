/**
 * A month of traffic on a real ledger and the simulated upstream's bill, with a difference of every kind planted, two causes in
 * one line item, and a dollar that nothing explains. Each day is explained by its cause, with its dollars, and nothing else is
 * reported; once all of it is posted, the ledger of the month is the bill of the month.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { book } from '../../src/store/hot/flush.ts';
import { readWatch } from '../../src/store/watch.ts';
import { ADMIN_KEY } from '../admin/support.ts';
import { openMonth, run } from './month.ts';
import {
  admin,
  closeBooks,
  dayOf,
  enter,
  events,
  expect_,
  expected,
  KEY,
  momentOf,
  plant,
  teams,
} from './month-books.ts';

beforeAll(openMonth);
afterAll(closeBooks);

interface Difference {
  id: string;
  kind: string;
  amount_usd: string;
  corrected_usd: string;
  model: string | null;
  line_item: string | null;
  posted: { amount_usd: string; events: number } | null;
}
interface Day {
  day: string;
  is_final: boolean;
  billed_usd: string;
  charged_usd: string;
  unexplained_usd: string;
  own_api_key_ids: string[] | null;
  differences: Difference[];
}

/** The days of the month, newest first. */
async function days(query = 'limit=100'): Promise<Day[]> {
  const all = (await admin.get(`/reconciliation?${query}`)).data as unknown as Day[];
  return all.filter(({ day }) => day <= dayOf(30));
}

const total = (rows: readonly { amount_usd: string }[]) =>
  rows.reduce((sum, row) => sum + usd(row.amount_usd), 0n);

describe('a month of traffic', () => {
  test('is reconciled day by day, those that were missed too, and recomputed until a day is final', async () => {
    const early = momentOf(6, 7_200);
    expect(await run(early)).toBe(5);
    expect((await days()).map(({ day, is_final: final }) => [day, final])).toEqual([
      [dayOf(5), false],
      [dayOf(4), false],
      [dayOf(3), false],
      [dayOf(2), true],
      [dayOf(1), true],
    ]);
    expect(await run(early + 60_000)).toBe(0);
    // What comes late is in a day that moves, and not in one that is final.
    await plant({
      kind: 'dollars',
      at: new Date(momentOf(1)).toISOString(),
      line_item: 'Late fee',
      usd: '9',
    });
    await plant({
      kind: 'dollars',
      at: new Date(momentOf(3)).toISOString(),
      line_item: 'Late fee',
      usd: '0.25',
    });
    expect_(3, 'unpriced_line', usd('0.25'));
    // The days of October that are over have no traffic.
    expect(await run()).toBe(28 + 4);
    expect((await days()).every(({ is_final: final }) => final)).toBe(true);
    expect(await run()).toBe(0);
  });

  test('has each difference named with its dollars, the unknown one unexplained, and nothing else', async () => {
    const found = await days();
    expect(found).toHaveLength(30);
    for (let day = 1; day <= 30; day++) {
      const row = found.find((each) => each.day === dayOf(day))!;
      const named = row.differences.map(({ kind, amount_usd: amount }) => [kind, usd(amount)]);
      const wanted = expected.get(day) ?? [];
      const sorted = (list: unknown[][]) => list.map(([kind, amount]) => `${kind} ${amount}`).sort();
      if (day === 20) expect([day, ...row.differences.map(({ kind }) => kind)]).toEqual([20, 'rounding']);
      else expect([day, ...sorted(named)]).toEqual([day, ...sorted(wanted)]);
      expect(total(row.differences)).toBe(usd(row.billed_usd) - usd(row.charged_usd));
    }
    expect(new Set(found.flatMap(({ differences }) => differences.map(({ kind }) => kind))).size).toBe(10);
    expect(found.reduce((sum, row) => sum + usd(row.unexplained_usd), 0n)).toBe(usd('3'));
    expect(found[0]!.own_api_key_ids).toHaveLength(1);
  });

  test('is a table of comma-separated values, one day or all', async () => {
    const ask = async (query: string) => {
      const path = `/admin/v1/reconciliation?${query}`;
      const response = await admin.app.request(path, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
      return { type: response.headers.get('content-type'), text: await response.text() };
    };
    const one = await ask(`day=${dayOf(5)}&format=csv`);
    expect(one.type).toBe('text/csv; charset=utf-8; header=present');
    const [header, ...lines] = one.text.trimEnd().split('\r\n');
    expect(header).toBe(
      'day,upstream,is_final,kind,with,model,service_tier,line_item,api_key_id,quantity,calls,amount_usd,corrected_usd,posted_usd,id',
    );
    expect(lines).toHaveLength(2);
    expect(lines.every((line) => line.startsWith(`${dayOf(5)},,true,`))).toBe(true);
    const all = (await ask('format=csv&limit=400')).text.trimEnd().split('\r\n');
    const count = (await days()).reduce((sum, { differences }) => sum + differences.length, 0);
    expect(all).toHaveLength(count + 1);
    expect((await admin.ask('GET', '/reconciliation?day=yesterday')).status).toBe(400);
    expect((await admin.get(`/reconciliation?day=2026-08-31`)).data).toEqual([]);
    expect((await days(`before=${dayOf(3)}`)).map(({ day }) => day)).toEqual([dayOf(2), dayOf(1)]);
  });
});

const POSTED = (day: string, difference: string) => ({ day, difference, reason: 'the bill of September' });

/** What the ledger charges for the month: by its events and corrections, and by its sums. */
async function charged(): Promise<bigint> {
  const [row] = await admin.database.sql<{ events: string; days: string; quarters: string }[]>`
    select ((select coalesce(sum(cost_usd), 0) from usage_events) + (select coalesce(sum(delta_usd), 0) from adjustments))::text
        as events,
      (select sum(cost_usd) from usage_days)::text as days, (select sum(cost_usd) from usage_rollups)::text as quarters`;
  expect([row!.days, row!.quarters]).toEqual([row!.events, row!.events]);
  return usd(row!.events);
}

describe('posting', () => {
  test('a day that moves, or what evens out on the next day, is refused', async () => {
    const late = (await days(`day=${dayOf(7)}`))[0]!.differences[0]!;
    const refused = await admin.ask('POST', '/reconciliation/postings', POSTED(dayOf(7), late.id));
    expect([refused.status, refused.body.error]).toEqual([
      409,
      expect.objectContaining({ code: 'conflict' }),
    ]);
    const unknown = await admin.ask('POST', '/reconciliation/postings', POSTED(dayOf(7), 'nothing/-/-/-/-'));
    expect(unknown.status).toBe(404);
  });

  test('all differences of the month makes the ledger of the month its bill, once', async () => {
    const before = await charged();
    const found = await days();
    // What the alert looks at.
    const unexplained = async () => (await readWatch(admin.database.db, 1)).unexplained;
    expect(await unexplained()).toEqual({ final: usd('1'), moving: 0n });
    const billed = found.reduce((sum, row) => sum + usd(row.billed_usd), 0n);
    expect(billed).not.toBe(before);
    const postable = found.flatMap(({ day, differences }) =>
      differences
        .filter(({ kind }) => kind !== 'late_batch' && kind !== 'day_boundary')
        .map(({ id }) => POSTED(day, id)),
    );
    for (const body of postable) {
      const first = await admin.ask('POST', '/reconciliation/postings', body);
      expect([body.difference, first.status, first.body.error ?? null]).toEqual([body.difference, 200, null]);
    }
    expect(await charged()).toBe(billed);
    for (const body of postable)
      expect((await admin.ask('POST', '/reconciliation/postings', body)).status).toBe(200);
    expect(await charged()).toBe(billed);
    const posted = (await days()).flatMap(({ differences }) =>
      differences.filter(({ posted }) => posted !== null),
    );
    expect(posted).toHaveLength(postable.length);
    expect(await unexplained()).toEqual({ final: 0n, moving: 0n });
    for (const each of posted) expect(each.posted?.amount_usd).toBe(each.amount_usd);
  });

  test('falls on the teams that it is about, and on grants and balances', async () => {
    const balances = await Promise.all(teams.map(({ team }) => admin.get(`/teams/${team.id}/balance`)));
    const [row] = await admin.database.sql<{ research: string; sales: string; organization: string }[]>`
      select coalesce(sum(cost_usd) filter (where team_id = ${teams[0]!.team.id}), 0)::text as research,
        coalesce(sum(cost_usd) filter (where team_id = ${teams[1]!.team.id}), 0)::text as sales,
        coalesce(sum(cost_usd) filter (where team_id not in (${teams[0]!.team.id}, ${teams[1]!.team.id})), 0)::text as organization
      from usage_events where operation = 'reconciliation'`;
    // The changed prices of both days fell on both teams, by what each had used; all else on neither.
    const prices = (expected.get(4) ?? [])
      .concat(expected.get(5) ?? [], expected.get(30) ?? [])
      .filter(([kind]) => kind === 'price_changed');
    const sum = prices.reduce((all, [, amount]) => all + amount, 0n);
    expect(usd(row!.research) + usd(row!.sales)).toBe(sum);
    expect(usd(row!.research) > 0n && usd(row!.sales) > 0n).toBe(true);
    expect(balances[1]!.settled_usd).not.toBe('0.00');
    expect(balances.map(({ unknown_usd: open }) => open)).toEqual(['0.00', '0.00']);
    const { data } = await admin.get('/audit?resource=reconciliation&limit=1');
    expect(data[0]).toMatchObject({ action: 'create', resource: 'reconciliation' });
  });
});

describe('one of several upstreams', () => {
  test('is compared with its own calls alone', async () => {
    const other = await startSimulator({ adminKey: 'sk-admin-month' });
    try {
      const before = events.length;
      const { cost } = enter({ atMs: momentOf(28), upstream: 'eu' });
      await book(admin.database.sql, events.slice(before));
      const at = new Date(momentOf(28)).toISOString();
      const usage = { input_tokens: 1_234, cached_input_tokens: 512, output_tokens: 345 };
      const line = { kind: 'call', at, api_key: KEY, model: 'gpt-4o-mini', usage };
      await fetch(`${other.url.replace('/v1', '')}/plant`, { method: 'POST', body: JSON.stringify(line) });
      await run(momentOf(34), { upstream: 'eu', at: other });
      const found = (await admin.get(`/reconciliation?day=${dayOf(28)}`)).data as unknown as (Day & {
        upstream: string | null;
      })[];
      const own = found.find(({ upstream }) => upstream === 'eu')!;
      expect([usd(own.billed_usd), usd(own.charged_usd), own.differences]).toEqual([cost, cost, []]);
      expect(found.find(({ upstream }) => upstream === null)?.differences).toEqual([]);
    } finally {
      await other.close();
    }
  });
});
