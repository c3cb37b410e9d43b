/**
 * One training example: its tokens and what is wrong with it. Owns: the three formats (chat, preference pairs, prompt and
 * completion), the published framing of messages and tools, and the checks of the published guide. Pure.
 * Invariant: the tokens are at least those that the published rules count.
 */
import {
  IMAGE_DETAILS,
  type ImageDetail,
  type ImageInput,
  type ImageRule,
  imageTokens,
} from '../domain/images.ts';
import { isObject, type Json, type JsonObject } from '../openai/body.ts';
import { imageSizeOf } from '../openai/image-size.ts';
import type { CountText } from './text-count.ts';
import DATA from './training.json' with { type: 'json' };

export interface ExampleRule {
  count: CountText;
  imageRule: ImageRule | null;
  /** Tokens that frame a tool. */
  perTool: number;
}

export interface Example {
  /** Its images by the rule, where there is one for them. */
  tokens: number;
  /** Without its images. */
  textTokens: number;
  images: readonly ImageInput[];
  /** What makes the API refuse it; empty: nothing is known. */
  problems: string[];
}

const { framing, tools: TOOLS } = DATA;
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];
const ROLE_TEXT = new Set(ROLES);
const MESSAGE_FIELDS = new Set([
  ...['role', 'content', 'name', 'weight', 'tool_calls', 'tool_call_id', 'function_call', 'refusal', 'audio'],
]);
const EXAMPLE_FIELDS = new Set(['messages', 'tools', 'functions', 'parallel_tool_calls']);

/** Counts and checks one example, as it was parsed from its line. */
export function countExample(json: Json, rule: ExampleRule): Example {
  if (!isObject(json)) return { tokens: 0, textTokens: 0, images: [], problems: ['must be a JSON object'] };
  const counter = new ExampleCounter(rule);
  counter.add(json);
  const { tokens, imageTokens, images, problems } = counter;
  return { tokens: tokens + imageTokens, textTokens: tokens, images, problems };
}

class ExampleCounter {
  /** Of the text. */
  tokens = 0;
  imageTokens = 0;
  readonly images: ImageInput[] = [];
  readonly problems: string[] = [];
  readonly #rule: ExampleRule;

  constructor(rule: ExampleRule) {
    this.#rule = rule;
  }

  add(json: JsonObject): void {
    if (json.input !== undefined || json.preferred_output !== undefined) this.#addPair(json);
    else if (json.prompt !== undefined || json.completion !== undefined) this.#addCompletion(json);
    else {
      this.#addConversation(json, json.messages, 'messages');
      this.#unknownFields(json, EXAMPLE_FIELDS, '');
      if (Array.isArray(json.messages) && !json.messages.some(isAssistant))
        this.problems.push("messages: no message of the role 'assistant', so there is nothing to learn");
    }
  }

  /** Preference pairs: the input is read with either answer. */
  #addPair({ input, preferred_output: preferred, non_preferred_output: other }: JsonObject): void {
    if (!isObject(input)) this.problems.push('input: must be an object with messages');
    for (const [name, output] of [
      ['preferred_output', preferred],
      ['non_preferred_output', other],
    ] as const) {
      if (isObject(input)) this.#addConversation(input, input.messages, 'input.messages');
      if (Array.isArray(output) && output.length > 0) this.#addMessages(output, name);
      else this.problems.push(`${name}: must be an array with a message`);
    }
  }

  #addCompletion(json: JsonObject): void {
    for (const name of ['prompt', 'completion']) {
      const text = json[name];
      if (typeof text === 'string') this.tokens += this.#rule.count(text);
      else this.problems.push(`${name}: must be text`);
    }
    // The end of the text is a token of its own.
    this.tokens += 1;
  }

  #addConversation(holder: JsonObject, messages: Json | undefined, param: string): void {
    this.tokens += framing.per_conversation;
    if (Array.isArray(messages) && messages.length > 0) this.#addMessages(messages, param);
    else this.problems.push(`${param}: must be an array with at least one message`);
    const { tools, functions } = holder;
    if (tools !== undefined && tools !== null) this.#addTools(tools, 'tools');
    if (functions !== undefined && functions !== null) this.#addTools(functions, 'functions');
  }

  #addMessages(messages: Json[], param: string): void {
    for (const [index, message] of messages.entries()) {
      this.tokens += framing.per_message;
      if (isObject(message)) this.#addMessage(message, `${param}[${index}]`);
      else this.problems.push(`${param}[${index}]: must be an object`);
    }
  }

  #addMessage(message: JsonObject, param: string): void {
    for (const name in message) {
      const value = message[name];
      if (value === undefined || value === null || name === 'weight') continue;
      if (name === 'name') this.tokens += framing.per_name;
      if (name === 'role' && typeof value === 'string' && ROLE_TEXT.has(value)) this.tokens += 1;
      else if (name === 'content' && Array.isArray(value)) this.#addParts(value, `${param}.content`);
      else this.tokens += this.#rule.count(typeof value === 'string' ? value : JSON.stringify(value));
    }
    const { role, content, tool_calls: calls, function_call: call } = message;
    if (typeof role !== 'string' || !ROLE_TEXT.has(role))
      this.problems.push(`${param}.role: must be one of ${ROLES.join(', ')}`);
    const isMissing = content === undefined || content === null || content === '';
    if (isMissing && !calls && !call && writtenIn(message) === null)
      this.problems.push(`${param}.content: must not be empty`);
    else if (!isMissing && typeof content !== 'string' && !Array.isArray(content))
      this.problems.push(`${param}.content: must be text or an array of parts`);
    this.#unknownFields(message, MESSAGE_FIELDS, `${param}.`);
  }

  #addParts(parts: Json[], param: string): void {
    for (const [index, part] of parts.entries()) {
      const at = `${param}[${index}]`;
      if (!isObject(part)) this.problems.push(`${at}: must be an object`);
      else if (writtenIn(part) !== null) this.tokens += this.#rule.count(writtenIn(part) ?? '');
      else if (isObject(part.image_url)) this.#addImage(part.image_url, at);
      else {
        this.tokens += this.#rule.count(JSON.stringify(part));
        this.problems.push(`${at}: is neither text nor an image`);
      }
    }
  }

  #addImage({ url, detail: given }: JsonObject, param: string): void {
    const detail: ImageDetail = IMAGE_DETAILS.find((each) => each === given) ?? 'auto';
    const { imageRule } = this.#rule;
    const size = typeof url === 'string' ? imageSizeOf(url) : null;
    const image = { size, detail };
    this.images.push(image);
    const tokens = imageRule === null ? null : imageTokens(imageRule, image);
    if (tokens === null)
      this.problems.push(`${param}: no rule says how many tokens this image has; it is not counted`);
    else this.imageTokens += tokens;
  }

  #addTools(tools: Json, param: string): void {
    if (!Array.isArray(tools)) {
      this.problems.push(`${param}: must be an array`);
      return;
    }
    for (const [index, tool] of tools.entries()) {
      const definition = isObject(tool) && isObject(tool.function) ? tool.function : tool;
      if (isObject(definition) && typeof definition.name === 'string') this.#addTool(definition);
      else {
        this.tokens += this.#rule.count(JSON.stringify(tool));
        this.problems.push(`${param}[${index}]: must be a function with a name`);
      }
    }
    if (tools.length > 0) this.tokens += TOOLS.per_end;
  }

  /** As the published formula has it; what that does not name is counted as its JSON. */
  #addTool({ name, description, parameters, ...more }: JsonObject): void {
    const { count, perTool } = this.#rule;
    this.tokens += perTool + count(`${name}:${withoutStop(description)}`);
    const properties = isObject(parameters) ? parameters.properties : undefined;
    if (isObject(properties)) {
      const entries = Object.entries(properties);
      if (entries.length > 0) this.tokens += TOOLS.per_properties;
      for (const [key, value] of entries) this.#addProperty(key, value ?? null);
    } else if (parameters !== undefined && parameters !== null)
      this.tokens += count(JSON.stringify(parameters));
    const { strict: _, ...unnamed } = more;
    if (Object.keys(unnamed).length > 0) this.tokens += count(JSON.stringify(unnamed));
  }

  #addProperty(key: string, value: Json): void {
    const { count } = this.#rule;
    this.tokens += TOOLS.per_property;
    if (!isObject(value)) {
      this.tokens += count(`${key}:${JSON.stringify(value)}`);
      return;
    }
    const { type, description, enum: items, ...more } = value;
    const typeText = typeof type === 'string' ? type : type === undefined ? '' : JSON.stringify(type);
    this.tokens += count(`${key}:${typeText}:${withoutStop(description)}`);
    if (Array.isArray(items)) {
      this.tokens += TOOLS.per_enum;
      for (const item of items)
        this.tokens += TOOLS.per_enum_item + count(typeof item === 'string' ? item : JSON.stringify(item));
    }
    if (Object.keys(more).length > 0) this.tokens += count(JSON.stringify(more));
  }

  #unknownFields(json: JsonObject, known: ReadonlySet<string>, prefix: string): void {
    for (const name in json)
      if (!known.has(name)) this.problems.push(`${prefix}${name.slice(0, 60)}: there is no such field`);
  }
}

function withoutStop(text: Json | undefined): string {
  return typeof text === 'string' ? (text.endsWith('.') ? text.slice(0, -1) : text) : '';
}

function isAssistant(message: Json): boolean {
  return isObject(message) && message.role === 'assistant';
}

/** Where a part, or a message without content, has its text. */
const WRITTEN = ['text', 'refusal'];

function writtenIn(json: JsonObject): string | null {
  for (const name of WRITTEN) {
    const text = json[name];
    if (typeof text === 'string') return text;
  }
  return null;
}
