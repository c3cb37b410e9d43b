/** Routes: prices. The rate card is what comes with Tollgate and what admins added. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { needsCacheWriteRate, type TextPrice, textLines, textPriceOf } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { PriceLine } from '../domain/rates.ts';
import { toPriceLine, toStoredLine } from '../store/price-lines.ts';
import {
  changePrice,
  createPrice,
  deletePrice,
  findPrice,
  listPrices,
  type NewPrice as NewPriceRow,
  type PriceRow,
} from '../store/prices.ts';
import { readImageRules } from '../store/seed/read-seed.ts';
import { NewPrice, Price, PriceChange, Prices, priceListQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function priceRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Add a price; it overrides what comes with Tollgate';
  route(
    app,
    { method: 'post', path: '/prices', summary, body: NewPrice, response: Price, status: 201 },
    async ({ body }) => {
      const lines = linesOf(body);
      if (isApiError(lines)) return lines;
      const limits = limitsOf(body);
      if (isApiError(limits)) return limits;
      const price = await createPrice(database, {
        model: body.model,
        tier: body.tier,
        lines: lines.map(toStoredLine),
        longContextAboveTokens: body.long_context_above_tokens ?? null,
        effectiveFrom: dateOf(body.effective_from ?? null),
        limits,
        source: body.source,
      });
      return isApiError(price) ? price : toPrice(price);
    },
  );
  resourceRoutes(app, {
    path: '/prices',
    name: 'price',
    textId: true,
    item: Price,
    page: Prices,
    listQuery: priceListQuery,
    changeBody: PriceChange,
    idOf: (price: PriceRow) => price.id,
    view: toPrice,
    list: (page, query) => listPrices(database, { ...page, model: query.model }),
    find: (id) => findPrice(database, id),
    change: (id, body) => changePrice(database, id, body.source),
    remove: (id) => deletePrice(database, id),
  });
}

/** The lines of a new price, of which each meter has one in each band. */
function linesOf(body: z.output<typeof NewPrice>): PriceLine[] | ApiError {
  const { input_usd: input, output_usd: output, per_tokens: per, lines: given = [] } = body;
  const text =
    input === undefined || output === undefined
      ? []
      : textLines(
          {
            input: usd(input),
            cachedInput: maybeUsd(body.cached_input_usd),
            cacheWrite: maybeUsd(body.cache_write_usd),
            output: usd(output),
          },
          per,
        );
  const lines: PriceLine[] = [...text];
  const writes = [...text, ...given].some(({ meter }) => meter === 'cache_write_tokens');
  if (needsCacheWriteRate(body.model) && !writes) {
    const what =
      "Models of this family bill what is written to the prompt cache at a rate above that of input: give 'cache_write_usd', or the rate of input if your contract says so.";
    return apiError('invalid_request', what, { param: 'cache_write_usd' });
  }
  for (const { tier: _, rate, ...line } of given) {
    const isTwice = lines.some(
      ({ meter, band }) =>
        meter === line.meter && (band === line.band || band === undefined || line.band === undefined),
    );
    if (isTwice) {
      const what = `'lines' has two prices of ${line.meter} in one band.`;
      return apiError('invalid_request', what, { param: 'lines' });
    }
    lines.push({ ...line, rate: usd(rate) });
  }
  return lines;
}

function limitsOf(body: z.output<typeof NewPrice>): NewPriceRow['limits'] | ApiError {
  const { max_input_tokens, max_output_tokens, image_rule } = body;
  const rules = readImageRules();
  if (image_rule !== undefined && !rules.has(image_rule)) {
    const message = `There is no image rule of this name. Those that there are: ${[...rules.keys()].join(', ')}.`;
    return apiError('invalid_request', message, { param: 'image_rule' });
  }
  return {
    ...(max_input_tokens === undefined ? {} : { maxInputTokens: max_input_tokens }),
    ...(max_output_tokens === undefined ? {} : { maxOutputTokens: max_output_tokens }),
    ...(image_rule === undefined ? {} : { imageRule: image_rule }),
  };
}

function maybeUsd(text: string | null): bigint | null {
  return text === null ? null : usd(text);
}

function toPrice(price: PriceRow): z.input<typeof Price> {
  const lines = price.lines.map(toPriceLine);
  const tier = price.tier;
  const short = textPriceOf(lines, 'short');
  const hasLong = price.longContextAboveTokens !== null && lines.some(({ band }) => band === 'long');
  const long = hasLong ? textPriceOf(lines, 'long') : null;
  return {
    id: price.id,
    model: price.model,
    tier,
    effective_from: instantOf(price.effectiveFrom),
    lines: lines.map((line) => ({ ...toStoredLine(line), tier })),
    per_tokens: short?.per ?? 1_000_000,
    ...ratesOf(short),
    long_context: long === null ? null : ratesOf(long),
    long_context_above_tokens: price.longContextAboveTokens,
    source: price.source,
    origin: price.origin,
    created_at: instantOf(price.createdAt),
    deleted_at: instantOf(price.deletedAt),
  };
}

function ratesOf(text: TextPrice | null) {
  const amount = (rate: bigint | null | undefined) =>
    rate === null || rate === undefined ? null : formatUsd(rate);
  return {
    input_usd: amount(text?.input),
    cached_input_usd: amount(text?.cachedInput),
    cache_write_usd: amount(text?.cacheWrite),
    output_usd: amount(text?.output),
  };
}
