/**
 * Route: the charges as a table in the columns of FOCUS 1.2 (https://focus.finops.org), streamed. Each line is the usage of
 * a UTC day by team, model, tier, operation, price and provenance, or what corrected it.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { csvLine } from '../domain/csv.ts';
import { isApiError } from '../domain/errors.ts';
import { DAY_MS } from '../domain/window.ts';
import { type Charge, type ChargeRange, readCharges } from '../store/charges.ts';
import type { Database } from '../store/database.ts';
import { FocusQuery } from './contract.ts';
import { csvResponse, noteExport } from './export.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, moneyOf } from './page.ts';
import { errorResponse, ROOT, readQuery, SECURITY } from './route.ts';

const PATH = '/focus.csv';

export function focusCsvRoute(app: OpenAPIHono, options: AdminOptions): void {
  const { database, settleNow, accessLog } = options;
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: ROOT + PATH,
    summary:
      'What was charged by UTC day, team, model, tier and operation, in the columns of FOCUS 1.2 (CSV)',
    tags: ['finance'],
    description: 'A session of a team may use this for that team.',
    security: SECURITY,
    request: { query: FocusQuery },
    responses: { 200: { description: 'Done', content: { 'text/csv': { schema: { type: 'string' } } } } },
  });
  app.get(ROOT + PATH, async (context) => {
    const query = readQuery(context, FocusQuery, 'query');
    if (isApiError(query)) return errorResponse(context, query);
    noteExport(accessLog, context.get('caller'), { export: 'focus.csv', ...query.data });
    await settleNow();
    const { team_id: teamId, from, to } = query.data;
    const range = { teamId, from: dateOf(from), to: dateOf(to) };
    return csvResponse(context, 'tollgate-focus.csv', lines(database, range, providersOf(options)));
  });
}

type Row = Record<string, string>;

async function* lines(database: Database, range: ChargeRange, providers: Providers) {
  const ledgerId = await ledgerIdOf(database);
  yield csvLine(COLUMNS);
  for await (const charges of readCharges(database, range)) {
    const rows = charges.map(
      (charge): Row => ({
        ...periodsOf(charge.day),
        ...partiesOf(charge, ledgerId, providers),
        ...costsOf(charge),
        ...(charge.kind === 'usage' ? usageOf(charge) : correctionOf(charge)),
        ...detailsOf(charge),
      }),
    );
    yield rows.map((row) => csvLine(COLUMNS.map((column) => row[column]))).join('');
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
    x_CachedInputTokens: charge.cachedInputTokens,
    x_InputTokens: charge.inputTokens,
    x_Model: model,
    x_Operation: operation,
    x_OutputTokens: charge.outputTokens,
    x_Provenance: provenance,
    x_ServiceTier: tier,
    x_Upstream: charge.upstream ?? '',
  };
}

/** By their names; what FOCUS does not know begins with `x_`. */
const COLUMNS = [
  'BilledCost',
  'BillingAccountId',
  'BillingAccountName',
  'BillingAccountType',
  'BillingCurrency',
  'BillingPeriodEnd',
  'BillingPeriodStart',
  'ChargeCategory',
  'ChargeClass',
  'ChargeDescription',
  'ChargeFrequency',
  'ChargePeriodEnd',
  'ChargePeriodStart',
  // Always empty: focus-validator cannot judge ConsumedQuantity without it.
  'CommitmentDiscountStatus',
  'ConsumedQuantity',
  'ConsumedUnit',
  'ContractedCost',
  'EffectiveCost',
  'InvoiceId',
  'InvoiceIssuerName',
  'ListCost',
  'PricingCategory',
  'PricingCurrency',
  'PricingQuantity',
  'PricingUnit',
  'ProviderName',
  'PublisherName',
  'ServiceCategory',
  'ServiceName',
  'ServiceSubcategory',
  'SkuId',
  'SkuMeter',
  'SkuPriceId',
  'SubAccountId',
  'SubAccountName',
  'SubAccountType',
  'x_CachedInputTokens',
  'x_Calls',
  'x_InputTokens',
  'x_Model',
  'x_Operation',
  'x_OutputTokens',
  'x_Provenance',
  'x_ServiceTier',
  'x_Upstream',
] as const;
