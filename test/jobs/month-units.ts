/** What the month has beside tokens of text: tools that the upstream runs, images, speech, audio and storage. */
import { usd } from '../../src/domain/money.ts';
import { costOf } from '../../src/domain/price.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import {
  bill,
  type Call,
  changePrice,
  costAt,
  enter,
  expect_,
  KEY,
  momentOf,
  OTHER,
  planted,
  rates,
  TEXT,
} from './month-books.ts';

export const SPEECH = { model: 'tts-1', operation: 'audio.speech', unit: 'characters' };
export const HEARD = { model: 'whisper-1', operation: 'audio.transcriptions', unit: 'seconds' };
export const IMAGE = { model: 'dall-e-3', operation: 'images.generations', unit: 'images' };

/** A call that is billed by another unit than tokens. */
export function unitsOf({ unit, ...product }: typeof SPEECH, call: Call, amount: number): void {
  const made = enter({ ...product, ...call });
  bill({ ...made, usage: {}, usd: formatUsd(made.cost), units: { unit, amount } });
}

const toolOf = (tool: string, picoUsd: bigint) => (calls: number) => ({
  ...{ tool, calls, cost_pico_usd: String(picoUsd * BigInt(calls)) },
});
export const WEB_SEARCH = toolOf('web_search', usd('0.01'));
export const FILE_SEARCH = toolOf('file_search', usd('0.0025'));
export const SESSION = toolOf('code_interpreter', usd('0.03'));
type Tools = ReturnType<typeof WEB_SEARCH>[];
const feesOf = (tools: Tools) => tools.reduce((sum, tool) => sum + BigInt(tool.cost_pico_usd), 0n);

/** A response for which the upstream ran tools; `billedMs`: when it is billed, where that is another day. */
export function withTools(atMs: number, meters: Call['usage'], tools: Tools, billedMs = atMs): void {
  const usage = { ...TEXT, input_tokens: 9_001 };
  const cost = costOf(usage, rates.find('gpt-4o', atMs)!.tiers.default!)! + feesOf(tools);
  const call = { atMs, model: 'gpt-4o', operation: 'responses', forwardUs: billedMs - atMs + 20_000_000 };
  const costUsd = formatUsd(cost);
  const made = enter({ ...call, usage: { ...usage, ...meters }, costUsd });
  bill({ ...made, atMs: billedMs, usage, usd: costUsd, tools });
}

/** What is billed of an application's own call of tools, with the gateway's key or another. */
function toolsOutside(day: number, tools: Tools, key = KEY): void {
  const call = { model: 'gpt-4o', operation: 'responses', tier: 'default', atMs: momentOf(day, 50_000) };
  bill({ ...call, usage: {}, usd: formatUsd(feesOf(tools)), tools }, key);
  for (const tool of tools) expect_(day, 'outside_gateway', feesOf([tool]));
}

/** The same of what is billed by another unit than tokens. */
function unitsOutside(
  day: number,
  product: Partial<typeof SPEECH>,
  amount: number,
  usdBilled: string,
  key = KEY,
) {
  const { model = 'x', operation = 'x', unit = 'x' } = product;
  const call = { model, operation, tier: 'default', atMs: momentOf(day, 50_000), usage: {} };
  bill({ ...call, usd: usdBilled, units: { unit, amount } }, key);
  expect_(day, 'outside_gateway', usd(usdBilled));
}

/** Differences in what is billed by other units than tokens. */
export function plantUnits(): void {
  // 17 and 18: an application runs tools with the gateway's own key; 29: with another's.
  toolsOutside(17, [WEB_SEARCH(4)]);
  toolsOutside(18, [FILE_SEARCH(5), SESSION(1)]);
  toolsOutside(29, [WEB_SEARCH(1), FILE_SEARCH(2)], OTHER);
  unitsOutside(29, IMAGE, 2, '0.08', OTHER);
  unitsOutside(
    29,
    { model: 'container', operation: 'containers.create', unit: 'sessions' },
    1,
    '0.03',
    OTHER,
  );
  // 19: it keeps five GiB more.
  const store = { model: 'vector_store', operation: 'vector_stores.storage', unit: 'bytes' };
  unitsOutside(19, store, 5 * 2 ** 30, '0.5');
  // 21 and 22: it speaks, with a model that the gateway never called too, listens, and makes an image.
  unitsOutside(21, SPEECH, 1_000, '0.015');
  unitsOutside(21, { ...SPEECH, model: 'tts-1-hd' }, 500, '0.015');
  unitsOutside(22, HEARD, 61, '0.0061');
  unitsOutside(22, IMAGE, 1, '0.08');
  // 23: searches cost $25 for a thousand instead of $10, and one was made outside: two causes in one line item.
  changePrice('web search tool calls', 23, '25000', '10000');
  toolsOutside(23, [WEB_SEARCH(1)]);
  expect_(23, 'price_changed', 4n * usd('0.015'));
  // 24 and 25: a search over midnight, and an image.
  withTools(momentOf(24, 86_390), { web_search_calls: 1 }, [WEB_SEARCH(1)], momentOf(25, 5));
  const tokens = costAt('gpt-4o', 24, { ...TEXT, input_tokens: 9_001 });
  for (const amount of [tokens, usd('0.01')]) {
    expect_(24, 'day_boundary', -amount);
    expect_(25, 'day_boundary', amount);
  }
  const made = { usage: { images: 1 }, costUsd: '0.08', forwardUs: 20_000_000 };
  const image = enter({ ...IMAGE, ...made, atMs: momentOf(24, 86_390) });
  bill({ ...image, atMs: momentOf(25, 5), usage: {}, usd: '0.08', units: { unit: 'images', amount: 1 } });
  expect_(24, 'day_boundary', -usd('0.08'));
  expect_(25, 'day_boundary', usd('0.08'));
  // 26: an image whose outcome the gateway does not know.
  const lost = { outcome: 'unknown', provenance: 'unknown', reason: 'upstream_error', usage: {} } as const;
  const open = enter({ ...IMAGE, ...lost, atMs: momentOf(26), costUsd: '0.12' });
  bill({ ...open, usage: {}, usd: '0.04', units: { unit: 'images', amount: 1 } });
  expect_(26, 'unknown_outcome', usd('0.04') - usd('0.12'));
  // 27: a dollar of unknown cause on the line of a tool.
  const at = new Date(momentOf(27)).toISOString();
  planted.push({ kind: 'dollars', at, line_item: 'file search tool calls', usd: '1', api_key: KEY });
  expect_(27, 'unexplained', usd('1'));
  // 30: speech costs $18 for a million characters instead of $15.
  changePrice('tts-1, characters', 30, '18', '15');
  expect_(30, 'price_changed', 777n * 3_000_000n);
}
