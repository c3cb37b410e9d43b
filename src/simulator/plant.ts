/**
 * Planted differences, for who reconciles: what the invoice, the usage reports or the costs have that no request asked for.
 * `POST /plant` takes one: a `call` (any moment, key and tier; it is billed and reported as a request would be), a `price` of a
 * line item from a moment on, or `dollars` on a line item that nothing used. Late usage and rounding are in the profile.
 */
import { isObject, type JsonObject } from './fields.ts';
import { type Invoice, type InvoiceLine, NO_USAGE, type ToolLine, type Units } from './invoice.ts';
import { apiKeyIdOf } from './keys.ts';
import { bill, findModel, findRates, type Rates, type Tier, type Usage } from './prices.ts';

/** Dollars on a line item. */
export interface PlantedItem {
  at: string;
  item: string | null;
  picoUsd: bigint;
  project: string | null;
  key: string | null;
}

/** What a token of a line item costs from a moment on. */
export interface PlantedPrice {
  item: string;
  from: string;
  picoUsdPerToken: bigint;
}

export class Planted {
  readonly items: PlantedItem[] = [];
  readonly prices: PlantedPrice[] = [];

  /** What the costs show when they are so late. */
  olderThan(ms: number): { items: PlantedItem[]; prices: PlantedPrice[] } {
    return { items: this.items.filter(({ at }) => Date.parse(at) <= ms), prices: this.prices };
  }
}

/** Where it is planted. */
interface PlantedState {
  invoice: Invoice;
  planted: Planted;
}

/** Plants one difference. @throws RangeError on what it cannot be */
export function plant(state: PlantedState, body: unknown): object {
  if (!isObject(body)) throw new RangeError('a difference is an object');
  switch (body.kind) {
    case 'call':
      return plantCall(state, body);
    case 'price': {
      const price = {
        item: textOf(body, 'line_item'),
        from: momentOf(body, 'from'),
        picoUsdPerToken: BigInt(Math.round(Number(textOf(body, 'usd_per_1m')) * 1e6)),
      };
      state.planted.prices.push(price);
      return { item: price.item, from: price.from };
    }
    case 'dollars': {
      const item = {
        at: momentOf(body, 'at'),
        item: body.line_item === null ? null : textOf(body, 'line_item'),
        picoUsd: BigInt(Math.round(Number(textOf(body, 'usd')) * 1e12)),
        project: typeof body.project_id === 'string' ? body.project_id : null,
        key: typeof body.api_key === 'string' ? idOf(body.api_key) : null,
      };
      state.planted.items.push(item);
      return { item: item.item, at: item.at };
    }
    default:
      throw new RangeError("kind is 'call', 'price' or 'dollars'");
  }
}

/** Bills a call that no request asked for: at the simulator's own prices, or at `usd`, with `units` where it is no text, and `tools` that it ran. */
function plantCall(state: PlantedState, body: JsonObject): InvoiceLine {
  const name = textOf(body, 'model');
  const found = findModel(name);
  const tier = typeof body.service_tier === 'string' ? body.service_tier : 'default';
  const usage: Usage = { ...NO_USAGE, ...(isObject(body.usage) ? body.usage : null) };
  const rates = found && findRates(found.model, tier as Tier, usage.input_tokens);
  const key = typeof body.api_key === 'string' ? body.api_key : null;
  if (!rates && typeof body.usd !== 'string') throw new RangeError(`${name} has no price: say usd`);
  const cost =
    typeof body.usd === 'string'
      ? BigInt(Math.round(Number(body.usd) * 1e12))
      : bill(usage, rates as Rates, false, 0n);
  const units = isObject(body.units) ? (body.units as unknown as Units) : null;
  const operation = typeof body.operation === 'string' ? body.operation : 'chat.completions';
  const line = {
    request_id: 'planted',
    client_request_id: typeof body.client_request_id === 'string' ? body.client_request_id : null,
    api_key_id: key === null ? null : idOf(key),
    operation: tier === 'batch' ? `batch.${operation}` : operation,
    model: found?.servedName ?? name,
    ...(typeof body.project_id === 'string' ? { project_id: body.project_id } : {}),
    service_tier: tier,
    status: 200,
    usage,
    ...(units === null ? {} : { units }),
    ...(Array.isArray(body.tools) ? { tools: body.tools as ToolLine[] } : {}),
    fault: null,
  };
  return state.invoice.add(line, cost, Date.parse(momentOf(body, 'at')));
}

function idOf(key: string): string | null {
  return apiKeyIdOf(`Bearer ${key}`);
}

function textOf(body: JsonObject, name: string): string {
  const value = body[name];
  if (typeof value !== 'string' || value === '') throw new RangeError(`${name} is a text`);
  return value;
}

function momentOf(body: JsonObject, name: string): string {
  const ms = Date.parse(textOf(body, name));
  if (!Number.isFinite(ms)) throw new RangeError(`${name} is a moment`);
  return new Date(ms).toISOString();
}
