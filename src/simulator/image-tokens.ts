/** Tokens of images that are made and edited, by their sizes (OpenAI's guide to image generation). */
import type { JsonObject } from './fields.ts';

/** One image of low, medium and high quality by its size, and of any other size by its pixels. */
const LOW: Record<string, number> = { '1024x1024': 272, '1024x1536': 408, '1536x1024': 400 };
const MEDIUM: Record<string, number> = { '1024x1024': 1056, '1024x1536': 1584, '1536x1024': 1568 };
const HIGH: Record<string, number> = { '1024x1024': 4160, '1024x1536': 6240, '1536x1024': 6208 };
const PIXELS = { low: 272 / 1048576, medium: 1056 / 1048576, high: 4160 / 1048576 };
export const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export function isTabled(model: string): boolean {
  return /^gpt-image-1|^chatgpt/.test(model);
}

/** What one image takes by its size and quality; what is left open costs what is usual, or the most. */
export function madeTokens({ quality, size }: JsonObject, model: string, worst: boolean): number {
  const asked = quality === 'low' || quality === 'medium' || quality === 'high' ? quality : null;
  const made = asked ?? (worst ? 'high' : 'medium');
  const largest = isTabled(model) ? '1024x1536' : '2880x2880';
  const open = worst ? largest : '1024x1024';
  const shown = typeof size === 'string' && size !== 'auto' ? size : open;
  const [width = 1, height = 1] = shown.split('x').map(Number);
  if (/^gpt-image-2(-20\d\d|$)/.test(model)) return calculated(made, width, height);
  const byPixels = Math.ceil(width * height * PIXELS[worst ? 'high' : made] * (worst ? 1.9 : 1));
  const table = { low: LOW, medium: MEDIUM, high: HIGH }[made];
  return isTabled(model) ? (table[shown] ?? byPixels) : byPixels;
}

/** gpt-image-2's, as OpenAI's own calculator gives them for any size. */
function calculated(quality: 'low' | 'medium' | 'high', width: number, height: number): number {
  const columns = { low: 16, medium: 48, high: 96 }[quality];
  const rows = Math.floor((2 * columns * Math.min(width, height)) / Math.max(width, height) / 2 + 0.5);
  return Math.ceil(columns * rows * (0.5 + (width * height) / 4e6) - 1e-9);
}

/** In pixels. */
export interface Size {
  width: number;
  height: number;
}

/** 65, 129 for each tile of the image at a shorter side of 512; and what high fidelity adds. */
export function editTokens({ width, height }: Size, isHigh: boolean): number {
  const scale = Math.min(1, 512 / Math.min(width, height));
  const tiles = Math.max(1, Math.ceil((Math.max(width, height) * scale - 1e-6) / 512));
  return 65 + 129 * tiles + (isHigh ? (width === height ? 4160 : 6240) : 0);
}
