/**
 * The tools that a request offers to the model, and which of them the model calls. A prompt that names a tool asks for
 * it, with its arguments if JSON stands behind the name: `get_weather {"city":"Paris"} and get_time, then book {"n":2}`
 * is two calls at once and one in the next step. Nothing else than that, and a choice that forces a tool, leads to a call,
 * unless the profile has a chance for it.
 */
import { isObject, type JsonObject } from './fields.ts';
import type { Random } from './random.ts';
import { validValue } from './schema.ts';

/** `function` and `custom` have a name; of the others the type is the name. `legacy`: of chat's old `functions`. */
export interface OfferedTool {
  kind: 'function' | 'custom' | 'legacy' | 'other';
  name: string;
  /** The namespace that a function stands in. */
  namespace: string | null;
  parameters: unknown;
}

/** A tool that the model calls, with its arguments as JSON, or the text that a custom tool takes. */
export interface ToolCall {
  tool: OfferedTool;
  text: string;
}

/** What the conversation ends with: the user's last words, and how many outputs of tools came since. */
export interface Turn {
  text: string;
  outputs: number;
}

export interface Choosing {
  /** Calls that a directive orders; null: none is ordered. */
  ordered: number | null;
  /** The chance of a call that nothing asks for, at the begin of a turn. */
  chance: number;
  random: Random;
}

/** Types that are called by their own name, with an item of their own: `local_shell_call`, `shell_call`, … */
const CALLED_BY_TYPE = [
  'local_shell',
  'shell',
  'apply_patch',
  'computer',
  'computer_use_preview',
  'tool_search',
];

/** Closing braces or quotes inside of arguments that a text spells out. */
const CLOSINGS_MOST = 200;

/** Returns the tools of a request: of `tools`, of old `functions`, and of items that add some later. */
export function offeredTools(body: JsonObject, items: readonly JsonObject[]): OfferedTool[] {
  const added = items.flatMap(({ type, tools }) => (type === 'additional_tools' ? objects(tools) : []));
  const legacy = objects(body.functions).map((tool) => named('legacy', tool, null));
  return [...[...objects(body.tools), ...added].flatMap((tool) => read(tool, null)), ...legacy];
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** In chat the name and schema stand in a member that is named like the type. */
function read(tool: JsonObject, namespace: string | null): OfferedTool[] {
  const { type } = tool;
  if (type === 'namespace') return objects(tool.tools).flatMap((one) => read(one, String(tool.name)));
  if (type === 'function' || type === 'custom') {
    const inner = tool[type];
    return [named(type, isObject(inner) ? inner : tool, namespace)];
  }
  const name = String(type);
  if (isHosted(tool)) return [];
  return CALLED_BY_TYPE.includes(name) ? [{ kind: 'other', name, namespace: null, parameters: null }] : [];
}

/** Tools that the upstream runs itself leave nothing for the client to do. */
function isHosted({ type, environment, execution }: JsonObject): boolean {
  if (type === 'tool_search') return execution !== 'client';
  return type === 'shell' && isObject(environment) && environment.type !== 'local';
}

function named(kind: OfferedTool['kind'], tool: JsonObject, namespace: string | null): OfferedTool {
  return { kind, name: String(tool.name), namespace, parameters: tool.parameters };
}

/** Returns what the model calls now; nothing: it writes a text. */
export function chooseCalls(
  body: JsonObject,
  offered: OfferedTool[],
  turn: Turn,
  choosing: Choosing,
): ToolCall[] {
  const { tools, forced } = allowed(body, offered);
  if (tools.length === 0) return [];
  const atOnce = body.parallel_tool_calls === false ? 1 : Number.POSITIVE_INFINITY;
  const { ordered, chance, random } = choosing;
  const call = (tool: OfferedTool): ToolCall => ({ tool, text: madeText(tool, random) });
  if (ordered !== null) {
    return turn.outputs > 0
      ? []
      : Array.from({ length: Math.min(ordered, atOnce) }, (_, at) => tools[at % tools.length])
          .filter((tool) => tool !== undefined)
          .map(call);
  }
  const asked = stepOf(askedFor(turn.text, tools, random), turn.outputs).slice(0, atOnce);
  if (asked.length > 0) return asked;
  const [first] = tools;
  const isByChance = chance > 0 && turn.outputs === 0 && random() < chance;
  return first !== undefined && (forced || isByChance) ? [call(first)] : [];
}

/** The tools that `tool_choice` leaves, and whether one must be called. */
function allowed(body: JsonObject, offered: OfferedTool[]): { tools: OfferedTool[]; forced: boolean } {
  const choice = body.tool_choice ?? body.function_call;
  if (choice === 'none') return { tools: [], forced: false };
  if (!isObject(choice)) return { tools: offered, forced: choice === 'required' };
  const inner = isObject(choice.allowed_tools) ? choice.allowed_tools : choice;
  if (choice.type === 'allowed_tools') {
    const names = objects(inner.tools).map(nameIn);
    return { tools: offered.filter(({ name }) => names.includes(name)), forced: inner.mode === 'required' };
  }
  const name = nameIn(choice);
  return { tools: offered.filter((tool) => tool.name === name), forced: true };
}

function nameIn({ type, name, ...inner }: JsonObject): string {
  const own = typeof type === 'string' ? inner[type] : undefined;
  return String(isObject(own) ? own.name : (name ?? type));
}

/** A tool that a text names; `joined`: called at once with the one before. */
interface Asked extends ToolCall {
  joined: boolean;
}

/** The tools that a text names, in its order: with arguments behind the name as often as they stand, else once. */
function askedFor(text: string, tools: OfferedTool[], random: Random): Asked[] {
  const names = tools.map(({ name }) => name.replace(/[^\w-]/g, '\\$&'));
  const found: Asked[] = [];
  let end = 0;
  for (const match of text.matchAll(new RegExp(`(?<![\\w.-])(?:${names.join('|')})(?![\\w-])`, 'g'))) {
    const tool = tools.find(({ name }) => name === match[0]);
    if (tool === undefined || match.index < end) continue;
    const given = jsonAt(text, match.index + match[0].length);
    const isNew = found.every((one) => one.tool !== tool);
    if (given === null && (!isNew || tool.kind === 'other')) continue;
    const joined = /^\W*and (?:call |use )?$/i.test(text.slice(end, match.index));
    end = given?.end ?? match.index + match[0].length;
    found.push({ tool, text: given?.text ?? madeText(tool, random), joined });
  }
  return found;
}

/** The calls that follow after so many outputs. */
function stepOf(asked: Asked[], outputs: number): Asked[] {
  const rest = asked.slice(outputs);
  const next = rest.findIndex(({ joined }, at) => at > 0 && !joined);
  return next === -1 ? rest : rest.slice(0, next);
}

/** The JSON object or string that stands at a place of a text; of a string its value. */
function jsonAt(text: string, from: number): { text: string; end: number } | null {
  const start = /^\s*(?=[{"])/.exec(text.slice(from));
  if (start === null) return null;
  const begin = from + start[0].length;
  const closing = text.charAt(begin) === '{' ? '}' : '"';
  let tries = 0;
  for (let end = text.indexOf(closing, begin + 1); end !== -1; end = text.indexOf(closing, end + 1)) {
    if (tries++ > CLOSINGS_MOST) return null;
    const json = text.slice(begin, end + 1);
    const value = parsed(json);
    if (value !== undefined) return { text: typeof value === 'string' ? value : json, end: end + 1 };
  }
  return null;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function madeText({ kind, parameters }: OfferedTool, random: Random): string {
  return kind === 'custom'
    ? 'the quick brown fox'
    : JSON.stringify(validValue(parameters ?? { type: 'object' }, random));
}

/** What a conversation ends with. */
export function turnOf(items: readonly JsonObject[]): Turn {
  const last = items.findLastIndex(({ role }) => role === 'user');
  const outputs = items.slice(last + 1).filter(isOutput).length;
  return { text: last === -1 ? '' : wordsOf(items[last]?.content), outputs };
}

function isOutput({ role, type }: JsonObject): boolean {
  return role === 'tool' || role === 'function' || (typeof type === 'string' && type.endsWith('_output'));
}

function wordsOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return objects(content)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
    .join('\n');
}
