/**
 * What images cost here: OpenAI's guide to images and vision, and for gpt-5.5 and later what the data set
 * JOHNISKING/image-token-cost (Hugging Face, autumn 2026) measured. Written apart from Tollgate's rules on purpose.
 */
import { imageSize } from 'image-size';

/** An image of a request. */
export interface Image {
  url: string;
  detail: string;
  /** Of a remote one, where the upstream found it to be so large. */
  size?: { width: number; height: number };
}

interface Patches {
  multiplier: number;
  /** The most patches by detail; missing: as many as the image has. */
  budget: Partial<Record<string, number>>;
}
interface Tiles {
  base: number;
  tile: number;
}

const GUIDE_BUDGET = { low: 1536, high: 1536, auto: 1536, original: 1536 };

/** By the first pattern that a model's name matches. */
const RULES: [RegExp, Patches | Tiles][] = [
  [/^(ft:)?gpt-5\.5/, { multiplier: 1.2, budget: { low: 2500, high: 2500, auto: 10_000, original: 10_000 } }],
  [/^(ft:)?gpt-5\.[23]/, { multiplier: 1.2, budget: GUIDE_BUDGET }],
  [/^gpt-(5\.6|6)/, { multiplier: 1.2, budget: { low: 2500, high: 2500 } }],
  [/^(ft:)?(gpt-5\.4-mini|gpt-5-mini|gpt-4\.1-mini)/, { multiplier: 1.62, budget: GUIDE_BUDGET }],
  [/^(ft:)?(gpt-5\.4-nano|gpt-5-nano|gpt-4\.1-nano)/, { multiplier: 2.46, budget: GUIDE_BUDGET }],
  [/^(ft:)?o4-mini/, { multiplier: 1.72, budget: GUIDE_BUDGET }],
  [/^(ft:)?gpt-4o-mini/, { base: 2833, tile: 5667 }],
  [/^(ft:)?gpt-5(\.1)?(-|$)/, { base: 70, tile: 140 }],
  [/^(ft:)?o[13]/, { base: 75, tile: 150 }],
  [/^(ft:)?(chatgpt-4o|gpt-4o|gpt-4\.[15])/, { base: 85, tile: 170 }],
];
/** What a model bills of which nothing is published. */
const UNKNOWN: Patches = {
  multiplier: 1.2,
  budget: { low: 2500, high: 2500, auto: 10_000, original: 10_000 },
};

const USUAL_SIZE = { width: 1024, height: 1024 };
/** The largest image that was measured. */
const LARGEST_SIZE = { width: 4032, height: 3024 };

/** Input tokens of an image; of a remote one, or one that cannot be read, by a usual size or the largest. */
export function imageTokens(model: string, image: Image, worst: boolean): number {
  const rule = RULES.find(([pattern]) => pattern.test(model))?.[1] ?? UNKNOWN;
  const size = image.size ?? readSize(image.url) ?? (worst ? LARGEST_SIZE : USUAL_SIZE);
  return 'tile' in rule ? tileTokens(rule, size, image.detail) : patchTokens(rule, size, image.detail);
}

function readSize(url: string): { width: number; height: number } | null {
  const [, data] = /^data:[^,]*;base64,(.*)$/s.exec(url) ?? [];
  if (data === undefined) return null;
  try {
    const { width, height } = imageSize(Buffer.from(data, 'base64'));
    return { width, height };
  } catch {
    return null;
  }
}

function patchTokens(
  { multiplier, budget }: Patches,
  { width, height }: typeof USUAL_SIZE,
  detail: string,
): number {
  const columns = Math.ceil(width / 32);
  const rows = Math.ceil(height / 32);
  const most = budget[detail] ?? Number.POSITIVE_INFINITY;
  if (columns * rows <= most) return Math.ceil(columns * rows * multiplier);
  const scale = Math.sqrt((most * 32 * 32) / (width * height));
  return Math.ceil(Math.floor((width * scale) / 32) * Math.floor((height * scale) / 32) * multiplier);
}

function tileTokens({ base, tile }: Tiles, size: typeof USUAL_SIZE, detail: string): number {
  if (detail === 'low') return base;
  let { width, height } = size;
  const long = Math.max(width, height);
  if (long > 2048) [width, height] = [(width * 2048) / long, (height * 2048) / long];
  const short = Math.min(width, height);
  if (short > 768) [width, height] = [(width * 768) / short, (height * 768) / short];
  return base + tile * Math.ceil(Math.round(width) / 512) * Math.ceil(Math.round(height) / 512);
}
