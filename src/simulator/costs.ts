/**
 * The costs: `GET /v1/organization/costs`, by the day, summed from the lines of the invoice. Names of line items are those of
 * real exports: `gpt-4o-mini-2024-07-18, cached input`, `priority | gpt-5.6-sol, output, long context`.
 */
import { type ApiError, isApiError } from './errors.ts';
import type { InvoiceLine } from './invoice.ts';
import type { PlantedItem, PlantedPrice } from './plant.ts';
import { cacheWriteRate, findModel, findRates, type Rates, type Tier } from './prices.ts';
import { isBatch, ONLY_PROJECT } from './usage.ts';
import { COSTS_WIDTHS, cursorAt, readUsageQuery } from './usage-query.ts';

/** A part of what one line bills. */
interface CostItem {
  at: string;
  item: string | null;
  project: string | null;
  key: string | null;
  picoUsd: bigint;
  quantity: number | null;
  unit: string | null;
}

export interface PlantedCosts {
  items: readonly PlantedItem[];
  prices: readonly PlantedPrice[];
}

/** The page as JSON, or why there is none. @param decimals of each amount */
export function costsJson(
  lines: readonly InvoiceLine[],
  planted: PlantedCosts,
  decimals: number,
  search: URLSearchParams,
  nowSeconds: number,
): string | ApiError {
  const query = readUsageQuery(search, nowSeconds, ['project_id', 'line_item', 'api_key_id'], COSTS_WIDTHS);
  if (isApiError(query)) return query;
  const { startSeconds, endSeconds, widthSeconds, limit, groupBy } = query;
  const pageEnd = Math.min(endSeconds, startSeconds + limit * widthSeconds);
  const isWanted = (wanted: readonly string[], value: string | null) =>
    wanted.length === 0 || (value !== null && wanted.includes(value));
  const items = [
    ...lines.flatMap((line) => itemsOf(line, planted.prices)),
    ...planted.items.map(plantedItem),
  ];
  const byDay = Map.groupBy(
    items.filter(({ project, key }) => isWanted(query.projectIds, project) && isWanted(query.apiKeyIds, key)),
    ({ at }) => Math.floor(Date.parse(at) / 1000 / widthSeconds) * widthSeconds,
  );
  const data: object[] = [];
  for (let start = startSeconds; start < pageEnd; start += widthSeconds) {
    const results = resultsOf(byDay.get(start) ?? [], groupBy, decimals);
    data.push({ object: 'bucket', start_time: start, end_time: start + widthSeconds, results });
  }
  const next = pageEnd < endSeconds ? cursorAt(pageEnd) : null;
  return JSON.stringify({ object: 'page', data, has_more: next !== null, next_page: next });
}

function resultsOf(items: readonly CostItem[], groupBy: readonly string[], decimals: number): object[] {
  const named = (field: string, value: string | null) => (groupBy.includes(field) ? value : null);
  const groups = Map.groupBy(items, ({ project, item, key }) =>
    JSON.stringify([named('project_id', project), named('line_item', item), named('api_key_id', key)]),
  );
  return [...groups].map(([name, group]) => {
    const [project, item, key] = JSON.parse(name) as (string | null)[];
    const total = group.reduce((sum, { picoUsd }) => sum + picoUsd, 0n);
    const units = new Set(group.flatMap(({ quantity, unit }) => (quantity === null ? [] : [unit])));
    const hasQuantity = groupBy.includes('line_item') && units.size === 1;
    return {
      object: 'organization.costs.result',
      amount: { value: Number((Number(total) / 1e12).toFixed(decimals)), currency: 'usd' },
      line_item: item,
      project_id: project,
      api_key_id: key,
      quantity: hasQuantity ? group.reduce((sum, { quantity }) => sum + (quantity ?? 0), 0) : null,
      quantity_unit: hasQuantity ? [...units][0] : null,
    };
  });
}

function plantedItem({ at, item, picoUsd, project, key }: PlantedItem): CostItem {
  return { at, item, picoUsd, project, key, quantity: null, unit: null };
}

/** What one line bills, by line item; in sum its cost, but for prices that were planted. */
function itemsOf(line: InvoiceLine, prices: readonly PlantedPrice[]): CostItem[] {
  if (line.cost_pico_usd === '0') return [];
  const { at, project_id: project = ONLY_PROJECT, api_key_id: key } = line;
  return partsOf(line).map(({ item, picoUsd, quantity, unit }) => {
    const price = prices.findLast((each) => each.item === item && each.from <= at);
    const billed =
      price === undefined || quantity === null ? picoUsd : BigInt(quantity) * price.picoUsdPerToken;
    return { at, project, key, item, picoUsd: billed, quantity, unit };
  });
}

type Part = Pick<CostItem, 'item' | 'picoUsd' | 'quantity' | 'unit'>;

const TOOL_ITEMS = {
  web_search: { item: 'web search tool calls', unit: 'requests' },
  file_search: { item: 'file search tool calls', unit: 'requests' },
  code_interpreter: { item: 'code interpreter sessions', unit: 'sessions' },
} as const;
const UNIT_NAMES = { characters: 'characters', seconds: 'duration_seconds', images: 'images' } as const;

function partsOf(line: InvoiceLine): Part[] {
  const picoUsd = BigInt(line.cost_pico_usd);
  const { model, operation, units } = line;
  const whole = (item: string, quantity: number | null = null, unit: string | null = null): Part[] => [
    { item, picoUsd, quantity, unit },
  ];
  if (operation === 'vector_stores.storage') return whole('vector store storage');
  if (operation === 'containers.create')
    return whole('code interpreter sessions', units?.amount ?? null, 'sessions');
  if (operation === 'content_provenance_checks') return whole('content provenance checks', 1, 'requests');
  if (operation === 'fine_tuning.job') return whole(`${model}, training`);
  if (units?.unit === 'characters' || units?.unit === 'seconds' || units?.unit === 'images')
    return whole(`${model}, ${units.unit}`, units.amount, UNIT_NAMES[units.unit]);
  return tokenParts(line, picoUsd);
}

function tokenParts(line: InvoiceLine, picoUsd: bigint): Part[] {
  const { model, usage } = line;
  const found = findModel(model ?? '');
  const tier = (isBatch(line) ? 'batch' : (line.service_tier ?? 'default')) as Tier;
  const rates = found && findRates(found.model, tier, usage.input_tokens);
  if (!found || !rates) return [{ item: `${model}, other`, picoUsd, quantity: null, unit: null }];
  const before = tier === 'default' ? '' : `${tier} | `;
  const after = rates === found.model.tiers[tier]?.long ? ', long context' : '';
  const parts = kindsOf(line, rates).map(
    ([kind, quantity, rate]): Part => ({
      item: `${before}${model}, ${kind}${after}`,
      picoUsd: BigInt(quantity) * rate,
      quantity,
      unit: 'tokens',
    }),
  );
  const shown = [...parts.filter(({ quantity }) => quantity !== 0), ...toolParts(line)];
  const rest = picoUsd - shown.reduce((sum, part) => sum + part.picoUsd, 0n);
  return rest === 0n
    ? shown
    : [...shown, { item: 'web search tool calls', picoUsd: rest, quantity: null, unit: null }];
}

/** What tools of a response are billed. */
function toolParts({ tools = [], image_generation: images }: InvoiceLine): Part[] {
  const parts = tools.map(
    ({ tool, calls, cost_pico_usd: cost }): Part => ({
      ...TOOL_ITEMS[tool],
      picoUsd: BigInt(cost),
      quantity: calls,
    }),
  );
  if (images === undefined) return parts;
  const picoUsd = BigInt(images.cost_pico_usd);
  return [
    ...parts,
    { item: 'image generation tool calls', picoUsd, quantity: images.images, unit: 'images' },
  ];
}

function kindsOf({ usage }: InvoiceLine, rates: Rates): [kind: string, quantity: number, rate: bigint][] {
  const { input_audio_tokens: heard = 0, output_audio_tokens: said = 0 } = usage;
  const cached = usage.cached_input_tokens;
  const written = usage.cache_write_tokens;
  return [
    ['input', usage.input_tokens - cached - written - heard, rates.input],
    ['cached input', cached, rates.cachedInput ?? rates.input],
    ['cache writes', written, cacheWriteRate(rates, false)],
    ['output', usage.output_tokens - said, rates.output],
    ['audio input', heard, rates.inputAudio ?? rates.input],
    ['audio output', said, rates.outputAudio ?? rates.output],
  ];
}
