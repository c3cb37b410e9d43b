/**
 * Tools that this upstream runs inside of a response: what their calls cost, and the containers that some run in. A container
 * is billed a session for each of its GiB when it is first used, and again with the first use after twenty minutes.
 */
import { type ApiError, invalidRequest } from './errors.ts';
import { type FieldReader, isObject, type JsonObject } from './fields.ts';
import { type ImageTool, imageItem, type MadeImage, planImage, readImageTool } from './hosted-images.ts';
import { PIXEL } from './image-tokens.ts';
import type { ToolLine } from './invoice.ts';
import type { Model } from './prices.ts';
import { type Random, randomHex } from './random.ts';

/** One hosted tool of a request. */
export interface HostedTool {
  item:
    | 'web_search_call'
    | 'file_search_call'
    | 'code_interpreter_call'
    | 'shell_call'
    | 'mcp_call'
    | 'tool_search_call'
    | 'image_generation_call';
  feePicoUsd: bigint;
  /** The container that it runs in; null: it runs in none. */
  container: SimulatedContainer | null;
  /** What makes images, and the one that a call made. */
  images?: ImageTool;
  made?: MadeImage;
}

export interface SimulatedContainer {
  id: string;
  gib: number;
}

/** What a request lets the upstream do. */
export interface HostedCalls {
  tools: HostedTool[];
  least: number;
  most: number;
  /** Calls that its client approved, which are made beyond those. */
  approved: number;
}

const SESSION_MS = 20 * 60 * 1000;
/** $0.03 for a session of one GiB. */
const SESSION_PICO_USD = 30_000_000_000n;
/** GiB by their name. */
export const MEMORY: Record<string, number> = { '1g': 1, '4g': 4, '16g': 16, '64g': 64 };
/** Without a limit of the client's a response makes no more calls than this. */
const USUAL_MOST_CALLS = 10;

/** $10 for a thousand searches; the preview $25 on models that do not reason. A search of files costs $2.50 a thousand. */
export const SEARCH_FEE = 10_000_000_000n;
const PREVIEW_FEE = 25_000_000_000n;
const FILE_SEARCH_FEE = 2_500_000_000n;

/** The containers that live. */
export class Containers {
  readonly #known = new Map<string, { gib: number; endsMs: number }>();

  add(id: string, gib: number): void {
    this.#known.set(id, { gib, endsMs: 0 });
  }

  delete(id: string): void {
    this.#known.delete(id);
  }

  memoryOf(id: string): number | null {
    return this.#known.get(id)?.gib ?? null;
  }

  /** Bills the use of a container now: nothing within a session. */
  use({ id, gib }: SimulatedContainer, nowMs: number): bigint {
    const known = this.#known.get(id) ?? { gib, endsMs: 0 };
    this.#known.set(id, known);
    if (known.endsMs > nowMs) return 0n;
    known.endsMs = nowMs + SESSION_MS;
    return SESSION_PICO_USD * BigInt(known.gib);
  }
}

export const HOSTED_TYPES = [
  'web_search',
  'web_search_preview',
  'file_search',
  'code_interpreter',
  'mcp',
  'image_generation',
];

interface Hosting {
  containers: Containers;
  random: Random;
  /** Of the request itself. */
  items: readonly JsonObject[];
  /** Those, and what the upstream kept before. */
  all: readonly JsonObject[];
}

/** Reads which tools of a request the upstream runs; null: none. */
export function readHosted(
  reader: FieldReader,
  model: Model,
  { containers, random, items, all }: Hosting,
): HostedCalls | null {
  const tools: HostedTool[] = [];
  for (const tool of allowedOf(reader, all)) {
    const read = readTool(tool, model, { containers, random, items, all });
    if (read === null) continue;
    if ('error' in read) reader.fail(read.error);
    else tools.push(read);
  }
  const approved = items.filter(
    ({ type, approve }) => type === 'mcp_approval_response' && approve !== false,
  ).length;
  if (tools.length === 0 && approved === 0) return null;
  const most = tools.length === 0 ? 0 : (reader.integer('max_tool_calls', 0) ?? USUAL_MOST_CALLS);
  return { tools, least: 0, most, approved };
}

/** What the prompt templates of this upstream bring, by their id. */
const TEMPLATE_TOOLS: Record<string, JsonObject[]> = {
  pmpt_web_search: [{ type: 'web_search' }],
  pmpt_python: [{ type: 'code_interpreter', container: { type: 'auto', memory_limit: '64g' } }],
};

/** The tools of the request, its template and its items, kept ones too, as far as `tool_choice` lets the model call them. */
function allowedOf(reader: FieldReader, all: readonly JsonObject[]): JsonObject[] {
  const { tool_choice: choice, prompt } = reader.body;
  const brought = isObject(prompt) ? (TEMPLATE_TOOLS[String(prompt.id)] ?? []) : [];
  const added = all.flatMap(({ type, tools }) =>
    type === 'additional_tools' && Array.isArray(tools) ? tools.filter(isObject) : [],
  );
  const tools = [...(reader.objects('tools') ?? []), ...brought, ...added];
  if (choice === 'none') return [];
  if (!isObject(choice) || choice.type !== 'allowed_tools' || !Array.isArray(choice.tools)) return tools;
  const allowed = new Set(choice.tools.map((tool) => (isObject(tool) ? tool.type : null)));
  return tools.filter(({ type }) => allowed.has(type));
}

function readTool(
  tool: JsonObject,
  model: Model,
  { containers, random, all }: Hosting,
): HostedTool | { error: ApiError } | null {
  const type = String(tool.type);
  if (type === 'image_generation') {
    const images = readImageTool(tool, all);
    if ('error' in images) return images;
    const { costPicoUsd } = planImage(images, { worst: true, random, madeBefore: 0 });
    return { item: 'image_generation_call', feePicoUsd: costPicoUsd, container: null, images };
  }
  if (type.startsWith('web_search')) {
    const isDear = type.startsWith('web_search_preview') && !model.reasoning;
    return { item: 'web_search_call', feePicoUsd: isDear ? PREVIEW_FEE : SEARCH_FEE, container: null };
  }
  if (type === 'file_search')
    return { item: 'file_search_call', feePicoUsd: FILE_SEARCH_FEE, container: null };
  if (type === 'mcp') return { item: 'mcp_call', feePicoUsd: 0n, container: null };
  if (type === 'tool_search' && tool.execution !== 'client')
    return { item: 'tool_search_call', feePicoUsd: 0n, container: null };
  const isShell = type === 'shell';
  const place = isShell ? tool.environment : tool.container;
  if (!isShell && type !== 'code_interpreter') return null;
  if (isShell && (!isObject(place) || place.type === 'local')) return null;
  const container = containerOf(place, containers, random);
  if ('error' in container) return container;
  return { item: isShell ? 'shell_call' : 'code_interpreter_call', feePicoUsd: 0n, container };
}

function containerOf(
  place: unknown,
  containers: Containers,
  random: Random,
): SimulatedContainer | { error: ApiError } {
  const id = isObject(place) ? place.container_id : place;
  if (typeof id === 'string') {
    const gib = containers.memoryOf(id);
    const error = invalidRequest(`Container with id '${id}' not found.`, 'tools', null, 404);
    return gib === null ? { error } : { id, gib };
  }
  const limit = isObject(place) ? String(place.memory_limit ?? '1g') : '1g';
  return { id: `cntr_${randomHex(random, 24)}`, gib: MEMORY[limit] ?? 1 };
}

/** The calls as they were made: each image has used what it did. */
export function madeCalls(calls: readonly HostedTool[], worst: boolean, random: Random): HostedTool[] {
  let madeBefore = 0;
  return calls.map((tool) => {
    if (tool.images === undefined) return tool;
    const made = planImage(tool.images, { worst, random, madeBefore: madeBefore++ });
    return { ...tool, made, feePicoUsd: made.costPicoUsd };
  });
}

/**
 * Bills the calls, and the sessions that they begin, by tool; images are billed apart.
 * @param feePicoUsd of the search that a model makes with each of its calls; 0: it makes none
 */
export function billTools(
  calls: readonly HostedTool[],
  feePicoUsd: bigint,
  containers: Containers,
  nowMs: number,
): ToolLine[] {
  const billed = calls.flatMap(({ item, feePicoUsd, container }): [ToolLine['tool'], bigint][] => {
    if (item === 'web_search_call') return [['web_search', feePicoUsd]];
    if (item === 'file_search_call') return [['file_search', feePicoUsd]];
    return container === null ? [] : [['code_interpreter', containers.use(container, nowMs)]];
  });
  billed.push(['web_search', feePicoUsd]);
  const byTool = Map.groupBy(
    billed.filter(([, fee]) => fee > 0n),
    ([tool]) => tool,
  );
  return [...byTool].map(([tool, made]) => ({
    tool,
    calls: made.length,
    cost_pico_usd: made.reduce((sum, [, fee]) => sum + fee, 0n).toString(),
  }));
}

/** The item that shows a call. */
export function hostedItem({ item, container, made }: HostedTool, id: string): JsonObject {
  if (made !== undefined) return imageItem(made, id, PIXEL);
  const shown = { id, type: item, status: 'completed' };
  switch (item) {
    case 'web_search_call':
      return { ...shown, action: { type: 'search', query: 'x' } };
    case 'file_search_call':
      return { ...shown, queries: ['x', 'y'], results: null };
    case 'code_interpreter_call':
      return { ...shown, code: '1 + 1', container_id: container?.id ?? null, outputs: null };
    case 'shell_call':
      return {
        ...shown,
        call_id: `call_${id}`,
        action: { commands: ['ls'], timeout_ms: null, max_output_length: null },
        environment: { type: 'container_reference', container_id: container?.id ?? null },
      };
    case 'mcp_call':
      return { ...shown, server_label: 'server', name: 'tool', arguments: '{}', output: 'done', error: null };
    case 'image_generation_call':
      return shown;
    case 'tool_search_call':
      return { ...shown, call_id: null, execution: 'server', arguments: {} };
  }
}
