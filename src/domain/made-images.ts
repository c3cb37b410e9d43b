/**
 * What images that a model makes or edits cost in tokens, by size and quality. Each result is at least what the published
 * tables bill; where none is published, twice what a known one would.
 */
import type { ImageSize } from './images.ts';

/** Output tokens by quality at three sizes (OpenAI's guide to image generation, gpt-image-1, 2025-04). */
const TOKENS = {
  low: { square: 272, tall: 408, wide: 400 },
  medium: { square: 1056, tall: 1584, wide: 1568 },
  high: { square: 4160, tall: 6240, wide: 6208 },
} as const;
const SHAPES: Readonly<Record<string, 'square' | 'tall' | 'wide'>> = {
  '1024x1024': 'square',
  '1024x1536': 'tall',
  '1536x1024': 'wide',
};
const PARTIAL_IMAGE_TOKENS = 100;
/** The guide's table grows with the pixels: 4,160 tokens for 1,024 × 1,024 of high quality. */
const HIGH_TOKENS_PER_PIXEL = 4160 / 1024 ** 2;
/** The largest image that a model of any size makes: 3,840 × 2,160. */
const PIXELS_MAX = 3840 * 2160;
/** For what no table says, and for text that newer models write beside an image. */
const UNPUBLISHED = 2;
/**
 * The longer side of gpt-image-2's grid of tokens, by quality. The rule is that of the calculator on OpenAI's pages, as read from
 * it (community.openai.com, thread 1382699, 2026-06); it gives the published prices of an image: 7,024 tokens for 1,024 × 1,024.
 */
const GRID = { low: 16, medium: 48, high: 96 } as const;
/** The dearest size: the largest square. */
const SIDE_DEAREST = 2880;
/** Held of what the calculator says, in quarters: it is no promise. */
const GRID_QUARTERS = 5;
const TEXT_TOKENS = 1024;

/** Models to which the published table applies. */
const TABLED = /^gpt-image-1(?:-mini|\.5)?(?:-20\d\d|$)|^chatgpt-image-latest$/;
const GRIDDED = /^gpt-image-2(?:-20\d\d|$)/;
const WRITES_TEXT = /^gpt-image-(?!1(?:-|$))|^chatgpt-image/;

/** A prompt has at most 32,000 characters (OpenAPI specification 2.3.0, `CreateImageRequest`), and a token is at least one byte. */
export const PROMPT_TOKENS_MOST = 32_000 * 4;
/** The most images that a model edits at once (OpenAPI specification 2.3.0, `CreateImageEditRequest`). */
export const IMAGES_READ_MOST = 16;

/** What a request says of the images that it wants; null: it leaves it to the model. */
export interface WantedImage {
  readonly size: string | null;
  readonly quality: string | null;
  readonly partialImages: number;
}

/** Returns the most output tokens of one image; null: no model makes such a size. */
export function madeImageTokens(model: string, { size, quality, partialImages }: WantedImage): number | null {
  const text = WRITES_TEXT.test(model) ? TEXT_TOKENS : 0;
  const partial = partialImages * PARTIAL_IMAGE_TOKENS;
  const shape = size === null ? null : SHAPES[size];
  if (TABLED.test(model) && shape !== undefined) {
    const row = quality === 'low' || quality === 'medium' ? TOKENS[quality] : TOKENS.high;
    return (shape === null ? row.tall : row[shape]) + partial + text;
  }
  const sides = size === null ? [SIDE_DEAREST, SIDE_DEAREST] : sidesOf(size);
  if (sides === null) return null;
  const [width = 0, height = 0] = sides;
  const more = partial * UNPUBLISHED + text;
  if (GRIDDED.test(model)) {
    const grid = quality === 'low' || quality === 'medium' ? GRID[quality] : GRID.high;
    return Math.ceil((gridTokens(grid, width, height) * GRID_QUARTERS) / 4) + more;
  }
  const byPixels = Math.ceil(width * height * HIGH_TOKENS_PER_PIXEL);
  return Math.max(byPixels, gridTokens(GRID.high, width, height)) * UNPUBLISHED + more;
}

/** A grid as wide and high as the image, its tokens scaled by half a unit and the image's millions of pixels by four. */
function gridTokens(longer: number, width: number, height: number): number {
  const shorter = Math.round((longer * Math.min(width, height)) / Math.max(width, height));
  return Math.ceil((longer * shorter * (2_000_000 + width * height)) / 4_000_000);
}

function sidesOf(size: string): readonly number[] | null {
  const [, width, height] = /^(\d{1,5})x(\d{1,5})$/.exec(size) ?? [];
  const pixels = Number(width) * Number(height);
  return pixels > 0 && pixels <= PIXELS_MAX ? [Number(width), Number(height)] : null;
}

const SHORT_SIDE_PIXELS = 512;
const TILE_PIXELS = 512;
const INPUT = { base: 65, tile: 129, square: 4160, other: 6240 } as const;
/** Of an image whose size is not known: as many tiles as one of 8 : 1 has. */
const TILES_UNKNOWN = 8;

/**
 * Returns the most input tokens of an image that is edited: scaled to a shorter side of 512, 65 and 129 for each tile of 512,
 * and with high fidelity 4,160 or, if it is not square, 6,240 more (OpenAI's guide to images and vision). High fidelity is held
 * unless a model of the table is asked for low.
 */
export function editedImageTokens(
  model: string,
  size: ImageSize | null,
  fidelity: 'low' | 'high' | null,
): number {
  const isHigh = fidelity === 'high' || !TABLED.test(model);
  const isSquare = size !== null && size.width === size.height;
  const more = isHigh ? (isSquare ? INPUT.square : INPUT.other) : 0;
  return INPUT.base + INPUT.tile * (size === null ? TILES_UNKNOWN : tilesOf(size)) + more;
}

function tilesOf({ width, height }: ImageSize): number {
  const scale = Math.min(1, SHORT_SIDE_PIXELS / Math.min(width, height));
  return Math.max(1, Math.ceil((Math.max(width, height) * scale - 1e-6) / TILE_PIXELS));
}
