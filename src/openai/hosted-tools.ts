/**
 * Tools that the upstream runs inside of a response. `max_tool_calls` bounds how often ("total calls to built-in tools … in a
 * response", OpenAPI specification 2.3.0; of MCP servers too, OpenAI's guide to deep research): each call has its fee, and
 * the turn that reads on may read the model's window. What a tool names of the team's must be its own.
 */

import { CONTAINER_GIB, type HostedTools, noCalls } from '../domain/operation.ts';
import type { FeeMeter } from '../domain/quantities.ts';
import { type Fields, isObject, type Json, type JsonObject } from './body.ts';

/** The tool and its dated snapshots. */
const WEB_SEARCH = /^web_search(?:_preview)?(?:_20\d\d_\d\d_\d\d)?$/;

/** More tool calls in one response than any model makes. */
const MAX_TOOL_CALLS = 1000;

/** Reads a tool that the upstream runs. Returns whether it is one that is known. */
export function readHostedTool(fields: Fields, tool: JsonObject, param: string): boolean {
  const { type } = tool;
  switch (type) {
    case 'file_search':
      addCalls(fields, param, 'file_search_calls');
      readIds(fields, 'vector_store', tool.vector_store_ids, `${param}.vector_store_ids`);
      return true;
    case 'code_interpreter':
      readContainer(fields, tool.container, `${param}.container`, 'auto');
      return true;
    case 'shell':
      readContainer(fields, tool.environment, `${param}.environment`, 'container_auto');
      return true;
    case 'mcp':
      // What its server offers is read with the first turn already, and stands nowhere in the request.
      addCalls(fields, param);
      fields.boundByWindow(param);
      return true;
    case 'tool_search':
      addCalls(fields, param);
      return true;
    default:
      if (typeof type !== 'string' || !WEB_SEARCH.test(type)) return false;
      readWebSearch(fields, type, param);
      return true;
  }
}

/** Calls that wait for the client's consent are made when it comes, each with a turn of its own. */
export function readApproval(fields: Fields, param: string): void {
  addCalls(fields, param).approved++;
  fields.boundByWindow(param);
}

/**
 * A prompt template may bring tools of its own, which stand nowhere in the request, and no source says that the request's
 * `tools` replace them. What the model may call is bounded by `tool_choice` alone: nothing with `none`, else what
 * `allowed_tools` names (OpenAPI specification 2.3.0). `max_tool_calls` bounds no container and no image. Where the request
 * has no choice, the choice of its own tools is written in.
 */
export function readTemplateTools(fields: Fields): void {
  const choice = fields.json.tool_choice ?? null;
  if (choice === 'none') return;
  if (fields.json.tool_choice === undefined) {
    fields.toolChoice = ownTools(fields.json.tools);
    if (fields.toolChoice === 'none') return;
  }
  const bounded = fields.toolChoice ?? choice;
  if (!isObject(bounded) || bounded.type !== 'allowed_tools') {
    fields.unbounded(
      'prompt',
      'its template may bring tools that the upstream runs, and bills more than the request says',
      TEMPLATE_REMEDY,
    );
    return;
  }
  const { tools } = bounded;
  if (!Array.isArray(tools)) {
    fields.invalid(
      'tool_choice.tools',
      "'tool_choice.tools' must be an array: the tools that may be called.",
    );
    return;
  }
  for (const [index, tool] of tools.entries())
    readAllowedTool(fields, isObject(tool) ? tool.type : null, `tool_choice.tools[${index}]`);
}

/** The members that name a tool in `allowed_tools`, by its type. */
const NAMED_BY: Readonly<Record<string, string>> = { function: 'name', custom: 'name', mcp: 'server_label' };

/** Returns the choice of the request's own tools, so that none of its template's is called; null: not all can be named. */
function ownTools(tools: Json | undefined): Json {
  if (tools === undefined || tools === null || (Array.isArray(tools) && tools.length === 0)) return 'none';
  if (!Array.isArray(tools)) return null;
  const named: Json[] = [];
  for (const tool of tools) {
    const type = isObject(tool) && typeof tool.type === 'string' ? tool.type : '';
    const member = NAMED_BY[type];
    const name = isObject(tool) && member !== undefined ? tool[member] : undefined;
    if (member !== undefined && typeof name === 'string') named.push({ type, [member]: name });
    else if (WEB_SEARCH.test(type)) named.push({ type });
    else return null;
  }
  return { type: 'allowed_tools', mode: 'auto', tools: named };
}

const TEMPLATE_REMEDY =
  "Set 'tool_choice' to 'none', or to {type: 'allowed_tools', mode: 'auto', tools: […]} with no other types than 'function', " +
  "'custom', 'mcp' and 'web_search'.";

/** A tool of which the template may say the rest: the stores of its files, the memory of its container, its images. */
function readAllowedTool(fields: Fields, type: Json | undefined, param: string): void {
  if (type === 'function' || type === 'custom') return;
  if (type === 'mcp') addCalls(fields, param);
  else if (typeof type === 'string' && WEB_SEARCH.test(type)) readWebSearch(fields, type, param);
  else
    fields.unbounded(
      param,
      'what a tool of this type may use is said by the prompt template',
      "Remove it, or leave 'prompt' out and send the tool itself in 'tools'.",
    );
}

function readWebSearch(fields: Fields, type: string, param: string): void {
  const meter = type.startsWith('web_search_preview') ? 'web_search_preview_calls' : 'web_search_calls';
  const other = meter === 'web_search_calls' ? 'web_search_preview_calls' : 'web_search_calls';
  if (fields.hosted?.meters.includes(other)) {
    fields.invalid(param, "'web_search' and 'web_search_preview' have fees of their own: name one of them.");
  } else addCalls(fields, param, meter);
}

export function addCalls(fields: Fields, param: string, meter?: FeeMeter): HostedTools {
  const calls = fields.integer('max_tool_calls', 0, MAX_TOOL_CALLS);
  const hosted = fields.hosted ?? noCalls(param, calls);
  fields.hosted = hosted;
  hosted.calls = calls;
  hosted.always = false;
  if (meter !== undefined && !hosted.meters.includes(meter)) hosted.meters.push(meter);
  return hosted;
}

/** A container of the team's by its id, or one that the call makes. */
function readContainer(fields: Fields, given: Json | undefined, param: string, auto: string): void {
  const hosted = addCalls(fields, param);
  hosted.containers ??= [];
  const isNamed = isObject(given) && given.type === 'container_reference';
  const id = isNamed ? given.container_id : given;
  if (typeof id === 'string' && OBJECT_ID.test(id)) {
    fields.own('container', id, isNamed ? `${param}.container_id` : param);
    hosted.containers.push({ id, memoryGib: null });
    return;
  }
  if (!isObject(given) || given.type !== auto) {
    const wanted =
      auto === 'auto'
        ? "the id of a container, or an object of the type 'auto'"
        : "an object of the type 'local' (you run the commands), 'container_auto' or 'container_reference'";
    fields.invalid(param, `'${param}' must be ${wanted}.`);
    return;
  }
  const gib = memoryGib(given.memory_limit);
  if (gib === null) {
    const limits = CONTAINER_GIB.map((each) => `${each}g`).join(', ');
    fields.invalid(`${param}.memory_limit`, `'memory_limit' must be one of ${limits}.`);
  } else hosted.containers.push({ id: null, memoryGib: gib });
  readIds(fields, 'file', given.file_ids ?? [], `${param}.file_ids`);
  readSkills(fields, given.skills, `${param}.skills`);
}

/** Returns the memory that `1g` stands for, in GiB, 1 where nothing is said; null: it is none of the API's. */
export function memoryGib(limit: Json | undefined): number | null {
  if (limit === undefined || limit === null) return CONTAINER_GIB[0];
  return CONTAINER_GIB.find((gib) => limit === `${gib}g`) ?? null;
}

/** Skills stand in the request, or are stored: then what is read of them, before any call, stands nowhere in it. */
function readSkills(fields: Fields, skills: Json | undefined, param: string): void {
  if (skills === undefined || skills === null) return;
  for (const [index, skill] of (Array.isArray(skills) ? skills : [null]).entries()) {
    const { type, skill_id: id } = isObject(skill) ? skill : {};
    if (type === 'inline') continue;
    if (type === 'skill_reference' && typeof id === 'string' && OBJECT_ID.test(id)) {
      fields.own('skill', id, `${param}[${index}].skill_id`);
      fields.boundByWindow(`${param}[${index}].skill_id`);
    } else
      fields.invalid(
        `${param}[${index}]`,
        `'${param}' must be an array of skills of the type 'inline' or 'skill_reference'.`,
      );
  }
}

function readIds(fields: Fields, kind: 'vector_store' | 'file', ids: Json | undefined, param: string): void {
  if (!Array.isArray(ids)) {
    fields.invalid(param, `'${param}' must be an array of ids.`);
    return;
  }
  for (const [index, id] of ids.entries()) {
    if (typeof id === 'string' && OBJECT_ID.test(id)) fields.own(kind, id, `${param}[${index}]`);
    else fields.invalid(`${param}[${index}]`, `'${param}[${index}]' must be the id of a ${kind}.`);
  }
}

/** Ids of objects, as the API makes them. */
const OBJECT_ID = /^[\w.:-]{1,256}$/;
