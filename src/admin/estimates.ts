/** Route: what something would cost, before it is started. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { priceBook } from '../planner/book.ts';
import { estimate } from '../planner/estimate.ts';
import { readSourcedPrices } from '../store/rate-cards.ts';
import { readSeed, type SeedTraining } from '../store/seed/read-seed.ts';
import { Estimate, NewEstimate } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

export function estimateRoute(app: OpenAPIHono, { database, nowMs }: AdminOptions): void {
  const summary = 'Estimate what training or an application would cost; starts and keeps nothing';
  let training: SeedTraining[] | null = null;
  const readBook = async () => {
    const { cards, rows } = await readSourcedPrices(database.readSql);
    training ??= readSeed().training;
    return priceBook(cards, rows, training);
  };
  route(
    app,
    { method: 'post', path: '/estimates', summary, body: NewEstimate, response: Estimate },
    async ({ body }) => estimate(body, readBook, nowMs()),
  );
}
