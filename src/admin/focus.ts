/**
 * Routes: the charges as a table in the columns of FOCUS 1.2 (https://focus.finops.org), streamed, as comma-separated values
 * and as Parquet. Each line is the usage of a UTC day by team, model, tier, operation, price and provenance, or what
 * corrected it.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { csvLine } from '../domain/csv.ts';
import { isApiError } from '../domain/errors.ts';
import { type ParquetType, parquetOf } from '../domain/parquet.ts';
import { DAY_MS } from '../domain/window.ts';
import { type Charge, type ChargeRange, readCharges } from '../store/charges.ts';
import type { Database } from '../store/database.ts';
import { FocusQuery } from './contract.ts';
import { csvResponse, fileResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, moneyOf } from './page.ts';
import { describeNeed, needOf } from './permissions.ts';
import { errorResponse, permittedQuery, ROOT, SECURITY } from './route.ts';

const PARQUET_TYPE = 'application/vnd.apache.parquet';

const FORMATS = {
  'focus.csv': { named: 'CSV', type: 'text/csv', schema: { type: 'string' } },
  'focus.parquet': { named: 'Parquet', type: PARQUET_TYPE, schema: { type: 'string', format: 'binary' } },
} as const;

export function focusRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog } = options;
  for (const [path, { named, type, schema }] of Object.entries(FORMATS)) {
    app.openAPIRegistry.registerPath({
      method: 'get',
      path: `${ROOT}/${path}`,
      summary: `What was charged by UTC day, team, model, tier and operation, in the columns of FOCUS 1.2 (${named})`,
      tags: ['finance'],
      description: describeNeed(needOf('get', `/${path}`)),
      security: SECURITY,
      request: { query: FocusQuery },
      responses: { 200: { description: 'Done', content: { [type]: { schema } } } },
    });
    app.get(`${ROOT}/${path}`, async (context) => {
      const query = permittedQuery(context, `/${path}`, FocusQuery);
      if (isApiError(query)) return errorResponse(context, query);
      noteExport(accessLog, context.get('caller'), { export: path, ...query.data }, query.teams);
      await settleNow();
      const { from, to } = query.data;
      const range = { teamIds: query.teams, from: dateOf(from), to: dateOf(to) };
      const rows = readRows(database, range, providersOf(options));
      const name = `tollgate-${path}`;
      return type === 'text/csv'
        ? csvResponse(context, name, csvOf(rows))
        : fileResponse(context, name, type, parquetOf(COLUMNS, typed(rows)));
    });
  }
}

type Row = Partial<Record<keyof typeof COLUMNS, string>>;

/** Cells as text; what a charge does not have is missing or empty. */
async function* readRows(database: Database, range: ChargeRange, providers: Providers) {
  const ledgerId = await ledgerIdOf(database);
  for await (const charges of readCharges(database, range)) {
    yield charges.map(
      (charge): Row => ({
        ...periodsOf(charge.day),
        ...partiesOf(charge, ledgerId, providers),
        ...costsOf(charge),
        ...(charge.kind === 'usage' ? usageOf(charge) : correctionOf(charge)),
        ...detailsOf(charge),
      }),
    );
  }
}

async function* csvOf(batches: AsyncIterable<Row[]>) {
  const names = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];
  yield csvLine(names);
  for await (const rows of batches) yield rows.map((row) => csvLine(names.map((name) => row[name]))).join('');
}

/** Moments as Parquet wants them, and empty cells as nulls; all else is text already. */
async function* typed(batches: AsyncIterable<Row[]>) {
  for await (const rows of batches) {
    yield rows.map((row) =>
      Object.fromEntries(
        Object.entries(COLUMNS).map(([name, type]) => {
          const cell = row[name as keyof typeof COLUMNS] || null;
          return [name, type === 'moment' && cell !== null ? new Date(cell) : cell];
        }),
      ),
    );
  }
}

/** The account that all charges are billed to is the ledger, which keeps its id wherever its database goes. */
async function ledgerIdOf({ sql }: Database): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select ledger_id::text as id from store_history`;
  return row?.id ?? '';
}

/** FOCUS writes moments in UTC, to the second. */
function secondOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function periodsOf(day: Date): Row {
  const [year, month] = [day.getUTCFullYear(), day.getUTCMonth()];
  return {
    BillingPeriodStart: secondOf(Date.UTC(year, month)),
    BillingPeriodEnd: secondOf(Date.UTC(year, month + 1)),
    ChargePeriodStart: secondOf(day.getTime()),
    ChargePeriodEnd: secondOf(day.getTime() + DAY_MS),
  };
}

/** Returns who provides an upstream, by its name; null: the only one. */
type Providers = (upstream: string | null) => string;

const PROVIDERS: Record<string, string> = { openai: 'OpenAI', azure: 'Microsoft' };

/** Of an upstream of one's own, or of one that the configuration no longer has, the name is known alone. */
function providersOf({ upstream, upstreams }: AdminOptions): Providers {
  const kinds = new Map(upstreams?.().map(({ name, kind }) => [name, kind]));
  const only = upstream?.profile.name ?? 'openai';
  return (name) => (name === null ? (PROVIDERS[only] ?? only) : (PROVIDERS[kinds.get(name) ?? ''] ?? name));
}

function partiesOf({ upstream, teamId, teamName }: Charge, ledgerId: string, providers: Providers): Row {
  const provider = providers(upstream);
  return {
    BillingAccountId: ledgerId,
    BillingAccountName: 'Tollgate',
    BillingAccountType: 'Ledger',
    InvoiceIssuerName: provider,
    ProviderName: provider,
    PublisherName: provider === 'Microsoft' ? 'OpenAI' : provider,
    ServiceCategory: 'AI and Machine Learning',
    ServiceName: 'OpenAI API',
    ServiceSubcategory: 'Generative AI',
    SubAccountId: teamId,
    SubAccountName: teamName,
    SubAccountType: 'Team',
  };
}

/** The ledger knows one cost, at the prices that Tollgate has: of discounts beyond them it knows nothing. */
function costsOf({ costUsd }: Charge): Row {
  const cost = moneyOf(costUsd);
  return {
    BilledCost: cost,
    BillingCurrency: 'USD',
    ContractedCost: cost,
    EffectiveCost: cost,
    ListCost: cost,
    PricingCurrency: 'USD',
  };
}

function usageOf(charge: Charge): Row {
  const tokens = BigInt(charge.inputTokens) + BigInt(charge.outputTokens);
  const [whole, unit] = tokens > 0n ? [tokens, 'Tokens'] : [charge.calls, 'Requests'];
  // FOCUS wants decimals: readers take a column of whole numbers for integers.
  const quantity = `${whole}.0`;
  const { provenance } = charge;
  const basis = provenance === 'reported' ? '' : `, ${PROVENANCE_TEXT[provenance]}`;
  return {
    ChargeCategory: 'Usage',
    ChargeDescription: `${charge.model}, ${charge.operation}, tier ${charge.tier}${basis}`,
    ConsumedQuantity: quantity,
    ConsumedUnit: unit,
    PricingCategory: 'Standard',
    PricingQuantity: quantity,
    PricingUnit: unit,
  };
}

const PROVENANCE_TEXT = {
  estimated: 'usage estimated',
  unknown: 'outcome unknown, charged at the worst case',
} as const;

/** What was used stands on the line of the usage. */
function correctionOf({ model, operation, tier, isLate }: Charge): Row {
  return {
    ChargeCategory: 'Adjustment',
    ChargeClass: isLate ? 'Correction' : '',
    ChargeDescription: `Set right by evidence: ${model}, ${operation}, tier ${tier}`,
  };
}

function detailsOf(charge: Charge): Row {
  const { model, tier, operation, provenance, priceId } = charge;
  const skuId = `${model}/${operation}/${tier}`;
  return {
    ChargeFrequency: 'Usage-Based',
    SkuId: skuId,
    SkuMeter: operation,
    // FOCUS wants one SKU for each of these, and several share a price of ours.
    SkuPriceId: `${skuId}@${priceId ?? 'none'}`,
    x_Calls: charge.calls,
    // FOCUS writes keys and values as JSON; null where there are none.
    Tags: charge.tags === null ? '' : JSON.stringify(charge.tags),
    x_CachedInputTokens: charge.cachedInputTokens,
    x_DepartmentId: charge.departments[0] ?? '',
    x_DepartmentPath: charge.departmentPath,
    x_InputTokens: charge.inputTokens,
    x_Model: model,
    x_Operation: operation,
    x_OutputTokens: charge.outputTokens,
    x_Provenance: provenance,
    x_ServiceTier: tier,
    x_Upstream: charge.upstream ?? '',
  };
}

/** By their names, with their types; what FOCUS does not know begins with `x_`. */
const COLUMNS = {
  BilledCost: 'decimal',
  BillingAccountId: 'text',
  BillingAccountName: 'text',
  BillingAccountType: 'text',
  BillingCurrency: 'text',
  BillingPeriodEnd: 'moment',
  BillingPeriodStart: 'moment',
  ChargeCategory: 'text',
  ChargeClass: 'text',
  ChargeDescription: 'text',
  ChargeFrequency: 'text',
  ChargePeriodEnd: 'moment',
  ChargePeriodStart: 'moment',
  // Always empty: focus-validator cannot judge ConsumedQuantity without it.
  CommitmentDiscountStatus: 'text',
  ConsumedQuantity: 'decimal',
  ConsumedUnit: 'text',
  ContractedCost: 'decimal',
  EffectiveCost: 'decimal',
  InvoiceId: 'text',
  InvoiceIssuerName: 'text',
  ListCost: 'decimal',
  PricingCategory: 'text',
  PricingCurrency: 'text',
  PricingQuantity: 'decimal',
  PricingUnit: 'text',
  ProviderName: 'text',
  PublisherName: 'text',
  ServiceCategory: 'text',
  ServiceName: 'text',
  ServiceSubcategory: 'text',
  SkuId: 'text',
  SkuMeter: 'text',
  SkuPriceId: 'text',
  SubAccountId: 'text',
  SubAccountName: 'text',
  SubAccountType: 'text',
  Tags: 'text',
  x_CachedInputTokens: 'count',
  x_Calls: 'count',
  x_DepartmentId: 'text',
  x_DepartmentPath: 'text',
  x_InputTokens: 'count',
  x_Model: 'text',
  x_Operation: 'text',
  x_OutputTokens: 'count',
  x_Provenance: 'text',
  x_ServiceTier: 'text',
  x_Upstream: 'text',
} as const satisfies Record<string, ParquetType>;
