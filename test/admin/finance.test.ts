import { parquetMetadata } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAdmin } from '../../src/admin/admin.ts';
import { statementPage } from '../../src/admin/statement-page.ts';
import { usd } from '../../src/domain/money.ts';
import { rowsOfParquet } from '../../src/domain/parquet.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import type { UpstreamReading } from '../../src/upstreams/health.ts';
import { tableOf } from './csv.ts';
import {
  ADMIN_KEY,
  createTestAdmin,
  createTestInstance,
  type Json,
  signIn,
  type TestAdmin,
} from './support.ts';

/** Three days into December: what is corrected now of November comes after its month. */
const NOW = '2026-12-03T10:00:00.000Z';
const at = (text: string) => Date.parse(text);

let admin: TestAdmin;
let research: Json;
let sales: Json;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  const instance = await createTestInstance(admin.database);
  research = await admin.make('/teams', { name: 'research', plan: null });
  sales = await admin.make('/teams', { name: '=sales <b>&"', plan: null });
  const researchKey = await admin.make('/keys', { team_id: research.id, name: 'app' });
  const salesKey = await admin.make('/keys', { team_id: sales.id, name: 'app' });
  const own = { teamId: research.id, keyId: researchKey.id, priceId: 'price-1' };
  // Amounts that floats do not add up: every digit after the point is used.
  const tiny = { ...own, costUsd: '0.100000000001' };
  const calls = [
    { ...tiny, atMs: at('2026-11-01T00:00:00Z') },
    { ...tiny, atMs: at('2026-11-01T12:00:00Z') },
    { ...tiny, atMs: at('2026-11-01T12:00:00Z'), serviceTier: 'flex' },
    { ...tiny, atMs: at('2026-11-01T13:00:00Z'), operation: 'responses' },
    { ...own, costUsd: '123456789.000000000003', atMs: at('2026-11-30T23:59:59.999Z'), model: '=1+1' },
    { ...tiny, atMs: at('2026-11-20T12:00:00Z') },
    { ...own, costUsd: '0', atMs: at('2026-11-02T00:00:00Z'), outcome: 'voided' },
    { ...own, costUsd: '7', atMs: at('2026-12-01T00:00:00Z') },
    { ...own, costUsd: '9', atMs: at('2026-10-31T23:59:59.999Z') },
    { ...own, costUsd: '1', atMs: at('2026-09-01T00:00:00Z'), upstream: 'eastus' },
    { ...own, costUsd: '1', atMs: at('2026-09-01T00:00:00Z'), upstream: 'eu' },
    { ...own, costUsd: '1', atMs: at('2026-09-01T00:00:00Z'), upstream: 'gone' },
    { teamId: sales.id, keyId: salesKey.id, costUsd: '2.5', atMs: at('2026-11-15T08:00:00Z') },
  ] as const;
  for (const call of calls) await instance.call(call);
  const unknown = { ...own, costUsd: '0.50', outcome: 'unknown' } as const;
  const late = await instance.call({ ...unknown, atMs: at('2026-11-01T15:00:00Z') });
  await admin.make(`/unknown/${late}/release`, { reason: 'a ticket', cost_usd: '0.200000000007' });
  const early = await instance.call({ ...unknown, atMs: at('2026-12-02T15:00:00Z') });
  await admin.make(`/unknown/${early}/release`, { reason: 'a ticket' });
});
afterAll(() => admin.close());

function request(path: string, app = admin.app) {
  return app.request(`/admin/v1${path}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
}

const table = async (path: string, app = admin.app) => tableOf(await request(path, app));

/** The rows of a Parquet file, with what its footer says of each column. */
async function parquet(path: string) {
  const response = await request(path);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/vnd.apache.parquet');
  const file = await response.arrayBuffer();
  const { schema } = parquetMetadata(file);
  const rows: Record<string, unknown>[] = [];
  const open = { byteLength: file.byteLength, slice: (from: number, to?: number) => file.slice(from, to) };
  for await (const some of rowsOfParquet(open)) rows.push(...some);
  return { rows, columns: new Map(schema.slice(1).map((column) => [column.name, column])) };
}

function sum(rows: Record<string, string>[], column: string): bigint {
  return rows.reduce((total, row) => total + usd(row[column]!), 0n);
}

/** What the ledger has of a range of days, of its events and corrections and of its sums. */
async function ledger(from: string, to: string, teamId: string | null = null) {
  const [row] = await admin.database.sql<{ events: string; days: string }[]>`
    select (select coalesce(sum(cost_usd), 0) + (select coalesce(sum(c.delta_usd), 0) from adjustments c join usage_events e
          on e.team_id = c.team_id and e.id = c.event_id where e.created_at >= ${from} and e.created_at < ${to}
          and (${teamId}::uuid is null or e.team_id = ${teamId}::uuid))
        from usage_events where created_at >= ${from} and created_at < ${to}
          and (${teamId}::uuid is null or team_id = ${teamId}::uuid))::text as events,
      (select coalesce(sum(cost_usd), 0) from usage_days where day >= ${from} and day < ${to}
        and (${teamId}::uuid is null or team_id = ${teamId}::uuid))::text as days`;
  expect(usd(row!.events)).toBe(usd(row!.days));
  return usd(row!.events);
}

const [NOVEMBER, DECEMBER, JANUARY] = ['2026-11-01', '2026-12-01', '2027-01-01'];

describe('the charges in the columns of FOCUS', () => {
  test.each([
    [NOVEMBER, DECEMBER],
    [DECEMBER, JANUARY],
    [NOVEMBER, '2026-11-02'],
    ['2026-10-01', JANUARY],
  ])('from %s to %s have the sum of the ledger to the last digit, in each cost', async (from, to) => {
    const rows = await table(`/focus.csv?from=${from}&to=${to}`);
    const total = await ledger(`${from}T00:00:00Z`, `${to}T00:00:00Z`);
    for (const cost of ['BilledCost', 'EffectiveCost', 'ContractedCost', 'ListCost'])
      expect(sum(rows, cost)).toBe(total);
  });

  test('are one line by day, model, tier and operation, with the corrections of it apart', async () => {
    const rows = await table(`/focus.csv?from=${NOVEMBER}&to=2026-11-02&team_id=${research.id}`);
    const shown = rows.map((row) => [
      row.ChargeCategory,
      row.ChargeClass,
      row.SkuId,
      row.x_Provenance,
      row.x_Calls,
      row.ConsumedQuantity,
      row.BilledCost,
    ]);
    expect(shown).toEqual([
      ['Usage', '', 'gpt-4o-mini/chat.completions/default', 'reported', '2', '30.0', '0.200000000002'],
      ['Usage', '', 'gpt-4o-mini/chat.completions/default', 'unknown', '1', '15.0', '0.50'],
      [
        'Adjustment',
        'Correction',
        'gpt-4o-mini/chat.completions/default',
        'unknown',
        '1',
        '',
        '-0.299999999993',
      ],
      ['Usage', '', 'gpt-4o-mini/responses/default', 'reported', '1', '15.0', '0.100000000001'],
      ['Usage', '', 'gpt-4o-mini/chat.completions/flex', 'reported', '1', '15.0', '0.100000000001'],
    ]);
    expect(rows[0]).toMatchObject({
      BillingPeriodStart: '2026-11-01T00:00:00Z',
      BillingPeriodEnd: '2026-12-01T00:00:00Z',
      ChargePeriodStart: '2026-11-01T00:00:00Z',
      ChargePeriodEnd: '2026-11-02T00:00:00Z',
      ProviderName: 'OpenAI',
      SkuPriceId: 'gpt-4o-mini/chat.completions/default@price-1',
      SubAccountId: research.id,
      SubAccountName: 'research',
      ConsumedUnit: 'Tokens',
      PricingQuantity: '30.0',
    });
  });

  test('have a correction within the month of its call without a class', async () => {
    const rows = await table(`/focus.csv?from=${DECEMBER}&to=${JANUARY}`);
    const [correction] = rows.filter((row) => row.ChargeCategory === 'Adjustment');
    expect(correction).toMatchObject({ ChargeClass: '', BilledCost: '-0.50', x_Calls: '1' });
  });

  test('leave out void calls, and let no spreadsheet run a name', async () => {
    const rows = await table(`/focus.csv?from=${NOVEMBER}&to=${DECEMBER}`);
    expect(rows.filter((row) => row.ChargePeriodStart === '2026-11-02T00:00:00Z')).toEqual([]);
    expect(rows.find((row) => row.x_Model?.endsWith('1+1'))).toMatchObject({ x_Model: "'=1+1" });
    expect(rows.find((row) => row.SubAccountId === sales.id)).toMatchObject({
      SubAccountName: `'=sales <b>&"`,
      SkuPriceId: 'gpt-4o-mini/chat.completions/default@none',
    });
  });

  test('name who provides each upstream; of one that the configuration no longer has, its name', async () => {
    const { database } = admin;
    const readings = [
      { name: 'eastus', kind: 'azure' },
      { name: 'eu', kind: 'openai' },
    ] as UpstreamReading[];
    const options = { ...signIn(database), defaultPlan: null, settleNow: async () => {} };
    const app = createAdmin({ database, ...options, upstreams: () => readings });
    const rows = await table('/focus.csv?from=2026-09-01&to=2026-09-02', app);
    const shown = rows.map((row) => [
      row.x_Upstream,
      row.ProviderName,
      row.InvoiceIssuerName,
      row.PublisherName,
    ]);
    expect(shown).toEqual([
      ['eastus', 'Microsoft', 'Microsoft', 'OpenAI'],
      ['eu', 'OpenAI', 'OpenAI', 'OpenAI'],
      ['gone', 'gone', 'gone', 'gone'],
    ]);
  });

  test('are a header alone where nothing was charged', async () => {
    expect(await table('/focus.csv?from=2025-01-01&to=2025-02-01')).toEqual([]);
  });

  test.each([
    ['from=2026-11-01', 'to'],
    ['from=2026-11-01&to=2026-11-01', 'to'],
    ['from=2026-11-01T01:00:00Z&to=2026-12-01', 'from'],
    ['from=2026-11-01&to=2026-12-01&colour=red', 'colour'],
  ])('respond 400 to %s', async (query, param) => {
    const { status, body } = await admin.ask('GET', `/focus.csv?${query}`);
    expect([status, (body.error as { param: string }).param]).toEqual([400, param]);
  });

  test('are in the audit log when they were taken out', async () => {
    await table(`/focus.csv?from=${NOVEMBER}&to=2026-11-03`);
    await expect
      .poll(async () => JSON.stringify((await admin.get('/audit?resource=event')).data), { timeout: 20_000 })
      .toContain('"filter":{"to":"2026-11-03","from":"2026-11-01","export":"focus.csv"}');
  });
});

describe('the charges as Parquet', () => {
  const COSTS = ['BilledCost', 'EffectiveCost', 'ContractedCost', 'ListCost'];

  test.each([
    [NOVEMBER, DECEMBER],
    [DECEMBER, JANUARY],
    ['2026-09-01', JANUARY],
  ])('from %s to %s are the lines of the CSV, each decimal to the last digit', async (from, to) => {
    const range = `from=${from}&to=${to}`;
    const [{ rows, columns }, lines] = [
      await parquet(`/focus.parquet?${range}`),
      await table(`/focus.csv?${range}`),
    ];
    expect([...columns.keys()]).toEqual(Object.keys(lines[0]!));
    const plain = (cell: string) => (/^'[=+@-]/.test(cell) ? cell.slice(1) : cell);
    const asText = (name: string, value: unknown) => {
      if (value === null || value === undefined) return '';
      if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z');
      if (name.endsWith('Quantity')) return `${value}`;
      return String(value);
    };
    const shown = rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asText(name, value)])),
    );
    const expected = lines.map((line) =>
      Object.fromEntries(
        Object.entries(line).map(([name, cell]) => [
          name,
          name.endsWith('Quantity') && cell !== '' ? formatUsd(usd(cell)) : plain(cell),
        ]),
      ),
    );
    expect(shown).toEqual(expected);
    const total = await ledger(`${from}T00:00:00Z`, `${to}T00:00:00Z`);
    for (const cost of COSTS) {
      const amounts = rows.map((row) => String(row[cost]));
      for (const amount of amounts) expect(amount).toMatch(/^-?\d+\.\d{2,12}$/);
      expect(amounts.reduce((sum, amount) => sum + usd(amount), 0n)).toBe(total);
    }
  });

  test('have decimals, moments and whole numbers as such', async () => {
    const { columns } = await parquet(`/focus.parquet?from=${NOVEMBER}&to=${DECEMBER}`);
    for (const name of [...COSTS, 'ConsumedQuantity', 'PricingQuantity']) {
      const logical_type = { type: 'DECIMAL', precision: 38, scale: 12 };
      expect(columns.get(name)).toMatchObject({ type: 'FIXED_LEN_BYTE_ARRAY', logical_type });
    }
    const logical_type = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' };
    for (const name of ['BillingPeriodStart', 'BillingPeriodEnd', 'ChargePeriodStart', 'ChargePeriodEnd'])
      expect(columns.get(name)).toMatchObject({ type: 'INT64', logical_type });
    expect(columns.get('x_Calls')).toMatchObject({ type: 'INT64' });
    expect(columns.get('SubAccountName')).toMatchObject({ type: 'BYTE_ARRAY', converted_type: 'UTF8' });
  });

  test('are a file without rows where nothing was charged', async () => {
    const { rows, columns } = await parquet('/focus.parquet?from=2025-01-01&to=2025-02-01');
    expect([rows, columns.size]).toEqual([[], 48]);
  });
});

describe('the statement of a month', () => {
  const path = (team: Json, query: string) => `/teams/${team.id}/statement?${query}`;

  test.each(['2026-10', '2026-11', '2026-12', '2026-01'])(
    'of %s has the sum of the ledger, on paper too',
    async (month) => {
      const rows = await table(path(research, `month=${month}&format=csv`));
      const [from, to] = [`${month}-01`, new Date(Date.UTC(2026, Number(month.slice(5)))).toISOString()];
      const total = await ledger(from, to, research.id);
      expect(sum(rows, 'cost_usd')).toBe(total);
      const page = await (await request(path(research, `month=${month}`))).text();
      expect(page).toContain(`Total</th><td>${formatUsd(total)}</td>`);
    },
  );

  test('has a line by model, operation, tier and provenance, with corrections apart', async () => {
    const rows = await table(path(research, 'month=2026-11&format=csv'));
    const shown = rows.map(
      ({ charge, model, operation, service_tier, provenance, calls, input_tokens, cost_usd }) =>
        [charge, model, operation, service_tier, provenance, calls, input_tokens, cost_usd].join(' '),
    );
    expect(shown).toEqual([
      "usage '=1+1 chat.completions default reported 1 10 123456789.000000000003",
      'usage gpt-4o-mini chat.completions default unknown 1 10 0.50',
      'usage gpt-4o-mini chat.completions default reported 3 30 0.300000000003',
      'usage gpt-4o-mini chat.completions flex reported 1 10 0.100000000001',
      'usage gpt-4o-mini responses default reported 1 10 0.100000000001',
      'correction gpt-4o-mini chat.completions default unknown 1 0 -0.299999999993',
    ]);
  });

  test('is a page that shows names as text, loads nothing and says whether the month is over', async () => {
    const response = await request(path(sales, 'month=2026-11'));
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    expect(response.headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'unsafe-inline'",
    );
    const page = await response.text();
    expect(page).toContain('<h1>Statement of November 2026</h1>');
    expect(page).toContain('=sales &lt;b&gt;&amp;&quot;');
    expect([...page.matchAll(/href="([^"]*)"/g)].map(([, target]) => target)).toEqual([
      '?month=2026-10',
      '?month=2026-12',
      '?month=2026-11&amp;format=csv',
    ]);
    expect(page).not.toMatch(/<b>|<script|https?:|url\(/);
    expect(statementPage({ ...EMPTY, month: '2026-11', atMs: at('2026-11-30T23:59:59Z') })).toContain(
      'not over',
    );
    expect(statementPage({ ...EMPTY, month: '2026-11', atMs: at('2026-12-01T00:00:00Z') })).not.toContain(
      'not over',
    );
  });

  test.each([
    'month=2026-13',
    'month=2026-1',
    'month=2026-11&format=pdf',
    'month=2026-11&colour=red',
    'format=csv',
  ])('responds 400 to %s', async (query) => {
    expect((await request(path(research, query))).status).toBe(400);
  });

  test('responds 404 for a team that does not exist', async () => {
    for (const id of ['019abcde-0000-7000-8000-000000000000', 'x']) {
      expect((await request(`/teams/${id}/statement?month=2026-11`)).status).toBe(404);
    }
  });
});

const EMPTY = { of: 'Team', id: 't', name: 'research', lines: [] } as const;
