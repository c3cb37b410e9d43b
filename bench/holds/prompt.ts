/**
 * How an upstream may write a request into its prompt, and what it then counts: messages as harmony frames them, tools as
 * TypeScript or as JSON. Formats: OpenAI's harmony guide (github.com/openai/harmony) and the cookbook's page on counting tokens.
 */

/** Returns the tokens of a text. */
export type Tokeniser = (text: string) => number;
type Json = unknown;
type JsonObject = Record<string, Json>;

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOr = (value: Json): string => (typeof value === 'string' ? value : '');

export interface PromptStyle {
  tools: 'typescript' | 'json';
  /** Tokens of an image. */
  image(part: JsonObject): number;
  /** Tokens behind an item of reasoning; missing: it is not read again. */
  reasoning?(item: JsonObject): number;
}

/** `<|start|>`, `<|message|>`, `<|end|>`. */
const MARKS = 3;
/** The opening of the answer. */
const PRIMING = 3;

/** Counts the input of a chat or a response. */
export function countPrompt(body: JsonObject, count: Tokeniser, style: PromptStyle): number {
  let tokens = PRIMING + (body.instructions ? MARKS + 1 + count(textOr(body.instructions)) : 0);
  const input = body.messages ?? body.input;
  const items = typeof input === 'string' ? [{ role: 'user', content: input }] : (input as JsonObject[]);
  for (const item of items) tokens += countItem(item, count, style);
  const tools = Array.isArray(body.tools) ? (body.tools as JsonObject[]) : [];
  if (tools.length > 0) tokens += MARKS + count(writeTools(tools, style.tools));
  const format = body.response_format ?? (isObject(body.text) ? body.text.format : undefined);
  if (isObject(format))
    tokens += MARKS + count(`# Response Formats\n\n## answer\n\n${JSON.stringify(format)}`);
  return tokens;
}

function countItem(item: JsonObject, count: Tokeniser, style: PromptStyle): number {
  if (item.type === 'reasoning') return MARKS + 1 + (style.reasoning?.(item) ?? 0);
  const header = count(headerOf(item)) + MARKS;
  let tokens = header + countContent(item.content, count, style) + countContent(item.output, count, style);
  tokens += count(textOr(item.arguments)) + count(textOr(item.input));
  for (const call of Array.isArray(item.tool_calls) ? (item.tool_calls as JsonObject[]) : []) {
    const made = call.function as JsonObject;
    tokens += MARKS + count(`assistant to=functions.${textOr(made.name)}<|channel|>commentary json`);
    tokens += count(textOr(made.arguments));
  }
  return tokens;
}

function headerOf({ type, role, name, call_id }: JsonObject): string {
  if (type === 'function_call') return `assistant to=functions.${textOr(name)}<|channel|>commentary json`;
  if (type === 'function_call_output') return `functions.${textOr(call_id)} to=assistant`;
  return `${textOr(role)}${name === undefined ? '' : `:${textOr(name)}`}`;
}

function countContent(content: Json, count: Tokeniser, style: PromptStyle): number {
  if (typeof content === 'string') return count(content);
  if (!Array.isArray(content)) return 0;
  // Parts of text stand in the prompt one after the other.
  const texts = content.filter(isObject).map(({ text }) => textOr(text));
  const images = content.filter((part) => isObject(part) && String(part.type).includes('image'));
  return (
    count(texts.join('')) + images.reduce<number>((sum, part) => sum + style.image(part as JsonObject), 0)
  );
}

/** All tools as the model reads them. */
function writeTools(tools: readonly JsonObject[], style: PromptStyle['tools']): string {
  const defined = tools.map((tool) => (isObject(tool.function) ? tool.function : tool));
  if (style === 'json') return defined.map((tool) => JSON.stringify(tool)).join('\n');
  const types = defined.map(
    ({ name, description, parameters }) =>
      `${commentOf(description)}type ${textOr(name)} = (${
        isObject(parameters) && isObject(parameters.properties) ? `_: ${typeOf(parameters, '')}` : ''
      }) => unknown;\n`,
  );
  return `# Tools\n\n## functions\n\nnamespace functions {\n\n${types.join('\n')}\n} // namespace functions`;
}

function commentOf(text: Json, indent = ''): string {
  return textOr(text) === '' ? '' : `${indent}// ${textOr(text).replaceAll('\n', `\n${indent}// `)}\n`;
}

function typeOf(schema: Json, indent: string): string {
  if (!isObject(schema)) return 'unknown';
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(choices)) return choices.map((each) => typeOf(each, indent)).join(' | ');
  if (schema.type === 'array') return `${typeOf(schema.items, indent)}[]`;
  if (!isObject(schema.properties))
    return Array.isArray(schema.type) ? schema.type.join(' | ') : String(schema.type ?? 'unknown');
  const required = Array.isArray(schema.required) ? schema.required : [];
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const inner = isObject(property) ? property : {};
    const fallback = inner.default === undefined ? '' : ` // default: ${JSON.stringify(inner.default)}`;
    const mark = required.includes(name) ? '' : '?';
    return `${commentOf(inner.description, indent)}${indent}${name}${mark}: ${typeOf(inner, `${indent}  `)},${fallback}\n`;
  });
  return `{\n${lines.join('')}${indent}}`;
}
