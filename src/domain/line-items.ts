/**
 * Line items of the upstream's costs: what their names say. Owns: the names, as exports of real organizations have them
 * (2026-11): `gpt-4o-mini-2024-07-18, cached input`, `priority | gpt-5.6-sol, output, long context`, `web search tool calls`.
 * Pure.
 */
import type { PicoUsd } from './money.ts';
import type { ServiceTier } from './price.ts';
import type { MeterName } from './quantities.ts';

/** Tools that the upstream runs, by the meter that their line item bills, and all meters that are on it. */
export const TOOLS = {
  web_search_calls: ['web_search_calls', 'web_search_preview_calls'],
  file_search_calls: ['file_search_calls'],
  container_sessions: ['container_sessions', 'container_minutes'],
  image_tool_output_tokens: ['image_tool_input_tokens', 'image_tool_output_tokens'],
} as const satisfies Partial<Record<MeterName, readonly MeterName[]>>;
export type Tool = keyof typeof TOOLS;
export const TOOL_METERS: readonly MeterName[] = Object.values(TOOLS).flat();

/** What a line item bills. `tools` are calls and sessions of tools that the upstream runs; null: its name does not say which. */
export type LineSubject =
  /** Without a meter: all of the model. */
  | { of: 'model'; model: string; tier: ServiceTier; meter: MeterName | null; isLong: boolean }
  | { of: 'tools'; tool: Tool | null }
  | { of: 'storage' };

const METERS: Record<string, MeterName> = {
  input: 'input_tokens',
  'text input': 'input_tokens',
  'cached input': 'cached_input_tokens',
  'cached text input': 'cached_input_tokens',
  'cache write': 'cache_write_tokens',
  'cache writes': 'cache_write_tokens',
  output: 'output_tokens',
  'text output': 'output_tokens',
  'audio input': 'input_audio_tokens',
  'audio output': 'output_audio_tokens',
  'image input': 'input_image_tokens',
  'image output': 'output_image_tokens',
  training: 'trained_tokens',
  characters: 'characters',
  images: 'images',
  seconds: 'audio_seconds',
};

const TIERS: Record<string, ServiceTier> = {
  batch: 'batch',
  flex: 'flex',
  priority: 'priority',
  fast: 'priority',
};
const LINE = /^(?:(batch|flex|priority|fast) \| )?([^,|]+?)(?:, ([^,|]+?))?(, long context)?$/i;
const TOOL_NAMES: [RegExp, Tool | null][] = [
  [/\bweb search/i, 'web_search_calls'],
  [/\bfile search/i, 'file_search_calls'],
  [/\bimage generation\b/i, 'image_tool_output_tokens'],
  [/\b(?:code interpreter|containers?|sessions?)\b/i, 'container_sessions'],
  [/\btool calls?\b/i, null],
];
const STORAGE = /\bstorage\b/i;
/** `gpt-4o`, `o3`, `whisper-1`, `ft:gpt-4o:org::id`: one word with a digit or a dash in it. */
const MODEL = /^(?=.*[-\d])[\w.:/-]+$/;

/** Returns what a line item bills; null: its name says nothing that is known. */
export function lineSubject(name: string): LineSubject | null {
  if (STORAGE.test(name)) return { of: 'storage' };
  const [, tier, model = '', kind, long] = LINE.exec(name.trim()) ?? [];
  const meter = kind === undefined ? null : METERS[kind.toLowerCase()];
  if (MODEL.test(model) && meter !== undefined)
    return {
      of: 'model',
      model,
      tier: TIERS[tier?.toLowerCase() ?? ''] ?? 'default',
      meter,
      isLong: long !== undefined,
    };
  const found = TOOL_NAMES.find(([names]) => names.test(name));
  return found === undefined ? null : { of: 'tools', tool: found[1] };
}

const AMOUNT = /^(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i;
const DECIMALS_MOST = 12;

/**
 * Reads an amount of the costs, which some responses have as text (`0E-6176` among them); null: it is none. What is below a
 * pico-USD is rounded.
 */
export function billedAmount(text: string): { amount: PicoUsd; decimals: number } | null {
  const [, sign, whole = '', fraction = '', exponent = '0'] = AMOUNT.exec(text.trim()) ?? [];
  if (whole === '') return null;
  const digits = (whole + fraction).replace(/^0+/, '');
  const shift = DECIMALS_MOST - fraction.length + Number(exponent);
  if (digits.length + shift > 30) return null;
  const scaled =
    shift >= 0 ? digits + '0'.repeat(shift) : digits.slice(0, Math.max(0, digits.length + shift));
  const dropped = shift < 0 ? (digits.padStart(-shift, '0').at(shift) ?? '0') : '0';
  const amount = BigInt(scaled || '0') + (dropped >= '5' ? 1n : 0n);
  const zeros = /0*$/.exec(amount.toString())?.[0].length ?? 0;
  const decimals = amount === 0n ? 0 : Math.max(0, DECIMALS_MOST - zeros);
  return { amount: sign ? -amount : amount, decimals };
}
