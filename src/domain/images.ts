/**
 * What an image costs in input tokens, by the rule of the model's family. The rules are data (store/seed) with their
 * sources; this is their arithmetic. Each result is at least what the published rule bills.
 */

/** What the request says of an image's detail; missing is `auto`. */
export type ImageDetail = 'low' | 'high' | 'auto' | 'original';
export const IMAGE_DETAILS: readonly ImageDetail[] = ['low', 'high', 'auto', 'original'];

/** In pixels. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** An image of a request; size null: it cannot be read from the request. */
export interface ImageInput {
  readonly size: ImageSize | null;
  readonly detail: ImageDetail;
}

/**
 * `patches`: patches of 32 × 32 pixels that cover the image, after it was scaled down to at most `budget` of them, times
 * `hundredths` / 100. A budget of null: not scaled down; the API refuses images of more patches than `most`. `tiles`: the image is scaled down into 2,048 × 2,048 pixels, then
 * to a shorter side of 768; `base` tokens, and `tile` for each tile of 512 × 512. With detail `low`, `base` alone.
 */
export type ImageRule =
  | {
      readonly kind: 'patches';
      readonly hundredths: number;
      readonly budget: Readonly<Record<ImageDetail, number | null>>;
      /** Missing: no image is known to be refused for its size. */
      readonly most?: number | undefined;
    }
  | { readonly kind: 'tiles'; readonly base: number; readonly tile: number };

const PATCH_PIXELS = 32;
const SQUARE_PIXELS = 2048;
const SHORT_SIDE_PIXELS = 768;
const TILE_PIXELS = 512;
/** 2,048 × 768 pixels, the most that is left after scaling. */
const TILES_MAX = 8;

/** Returns the most input tokens that an image is billed; null: of this size, or of an unknown one, nothing bounds them. */
export function imageTokens(rule: ImageRule, { size, detail }: ImageInput): number | null {
  if (rule.kind === 'tiles') {
    if (detail === 'low') return rule.base;
    return rule.base + rule.tile * (size === null ? TILES_MAX : tilesOf(size));
  }
  const budget = rule.budget[detail] ?? rule.most ?? null;
  const patches = size === null ? null : patchesOf(size);
  if (patches === null && budget === null) return null;
  const most = Math.min(patches ?? Number.MAX_SAFE_INTEGER, budget ?? Number.MAX_SAFE_INTEGER);
  return Math.ceil((most * rule.hundredths) / 100);
}

/**
 * Returns the most input tokens of a page of a document, which the upstream renders at a size that is not published. It is
 * rendered as `auto`, which from GPT-5.6 on is like `high` (OpenAPI specification, `FileInputDetail`): so it is the largest image
 * of what `auto` is scaled down to or, where that is not, of `high`. Null: nothing bounds it.
 */
export function pageTokens(rule: ImageRule): number | null {
  if (rule.kind === 'tiles') return imageTokens(rule, { size: null, detail: 'high' });
  const { auto, high } = rule.budget;
  return high === null ? null : Math.ceil((Math.max(auto ?? 0, high) * rule.hundredths) / 100);
}

/**
 * Returns what images of which nothing is known may be billed beyond what the model reads, all together: so many of the largest. A model
 * reads the patches alone, which its maximum input bounds, and is billed their multiple (OpenAI's guide to images and vision: "we
 * multiply image tokens by 1.62 to get total tokens").
 */
export function unknownImagesTokens(rule: ImageRule, maxInputTokens: number, imagesMax: number): number {
  if (rule.kind === 'tiles') return (rule.base + rule.tile * TILES_MAX) * imagesMax;
  const { auto } = rule.budget;
  if (auto === null) return 0;
  return Math.ceil((Math.min(auto * imagesMax, maxInputTokens) * rule.hundredths) / 100);
}

function patchesOf({ width, height }: ImageSize): number {
  return Math.ceil(width / PATCH_PIXELS) * Math.ceil(height / PATCH_PIXELS);
}

/** Small images are not scaled up. */
function tilesOf({ width, height }: ImageSize): number {
  const long = Math.max(width, height);
  const short = Math.min(width, height);
  const scale = Math.min(1, SQUARE_PIXELS / long, SHORT_SIDE_PIXELS / short);
  return tiles(long * scale) * tiles(short * scale);
}

/** The last bits of a scaled length are noise: 1,536.0000000000002 pixels are three tiles. */
const NOISE_PIXELS = 1e-6;

function tiles(length: number): number {
  return Math.max(1, Math.ceil((length - NOISE_PIXELS) / TILE_PIXELS));
}
