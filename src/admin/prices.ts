/** Routes: prices. The rate card is what comes with Tollgate and what admins added. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import type { ServiceTier } from '../domain/price.ts';
import {
  changePrice,
  createPrice,
  deletePrice,
  findPrice,
  listPrices,
  type PriceRow,
} from '../store/prices.ts';
import type { StoredRates } from '../store/rate-cards.ts';
import { NewPrice, Price, PriceChange, Prices, priceListQuery } from './contract.ts';
import { serveNoun } from './noun.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf, moneyOf } from './page.ts';
import { serve } from './route.ts';

export function servePrices(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Add a price; it overrides what comes with Tollgate';
  serve(
    app,
    { method: 'post', path: '/prices', summary, body: NewPrice, answer: Price, status: 201 },
    async ({ body }) => {
      const price = await createPrice(database, {
        model: body.model,
        tier: body.tier,
        perTokens: body.per_tokens,
        rates: {
          input: body.input_usd,
          cached_input: body.cached_input_usd,
          cache_write: body.cache_write_usd,
          output: body.output_usd,
        },
        effectiveFrom: dateOf(body.effective_from ?? null),
        maxOutputTokens: body.max_output_tokens ?? null,
        source: body.source,
      });
      return isApiError(price) ? price : toPrice(price);
    },
  );
  serveNoun(app, {
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

function toPrice(price: PriceRow): z.input<typeof Price> {
  return {
    id: price.id,
    model: price.model,
    tier: price.tier as ServiceTier,
    effective_from: instantOf(price.effectiveFrom),
    per_tokens: price.perTokens,
    ...ratesOf(price.rates as StoredRates),
    long_context: price.longContext === null ? null : ratesOf(price.longContext as StoredRates),
    long_context_above_tokens: price.longContextAboveTokens,
    source: price.source,
    origin: price.origin as 'seed' | 'admin',
    created_at: instantOf(price.createdAt),
    deleted_at: instantOf(price.deletedAt),
  };
}

function ratesOf(rates: StoredRates) {
  return {
    input_usd: moneyOf(rates.input),
    cached_input_usd: rates.cached_input === null ? null : moneyOf(rates.cached_input),
    cache_write_usd: rates.cache_write === null ? null : moneyOf(rates.cache_write),
    output_usd: moneyOf(rates.output),
  };
}
