/**
 * What a run of an eval costs at most, item by item: the model of the run is asked each, then models of the eval grade what it wrote.
 * Owns: how long a text is into which an item is written, and the sums by model. Does not own: the bound of a call (domain/estimate).
 * Invariants: no sum is below the bill where each model is asked once an item; memory does not grow with the file.
 */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { costUpTo, estimate } from '../domain/estimate.ts';
import { quote } from '../domain/input-bound.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { Operation } from '../domain/operation.ts';
import type { RateCard } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { isObject, type Json, type JsonObject, MAX_TOKENS, parseJson } from '../openai/body.ts';
import { findRoute, readRequest } from '../openai/request.ts';
import { cardOf, type PriceBook } from './book.ts';
import { bytesOf, hasOnlyText, type Place, placesIn, unbounded, valueAt } from './eval-text.ts';
import { isTooComplex, LineSplitter } from './lines.ts';
import { encodingOf } from './text-count.ts';
import { LINE_BYTES_MAX } from './training-file.ts';

export interface EvalRunQuestion {
  /** `data_source` of the run. */
  readonly source: JsonObject;
  /** `testing_criteria` of the eval. */
  readonly criteria: readonly Json[];
}

export interface EvalRunCount {
  readonly kind: 'eval_run';
  readonly items: number;
  readonly models: readonly EvalModelCount[];
  readonly usd: string;
}

export interface EvalModelCount {
  readonly model: string;
  readonly calls: number;
  /** At most. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Some call may be long enough for the price of long contexts. */
  readonly mayBeLong: boolean;
}

/** What one model is asked for each item. */
interface Asking {
  readonly model: string;
  readonly card: RateCard;
  readonly operation: Operation;
  /** Tokens of what is the same for all items. */
  readonly fixedTokens: number;
  readonly outputTokens: number;
  readonly places: readonly Place[];
  /** The item has the messages themselves, not texts for them. */
  readonly isReference: boolean;
}

/** What the run's model writes, as graders read it. */
interface Sampled {
  /** The most bytes of an answer; null: its encoding is not published. */
  readonly bytes: number | null;
}

/** What the upstream adds to the messages of a grader: how to grade, and in which form. None of it is published. */
const GRADER_TOKENS = 1024;
/** The longest token of the published encodings (gpt-tokenizer 4: o200k_base and cl100k_base). */
const TOKEN_BYTES_MAX = 128;
/** As a request has, around its messages. */
const FRAMING_TOKENS = 64;

/** Which operation samples, by the type of the data source. */
const SAMPLED_BY: Readonly<Record<string, string>> = {
  completions: '/v1/chat/completions',
  responses: '/v1/responses',
};
const INPUT = 'data_source.input_messages';
const LIMIT = 'data_source.sampling_params.max_completion_tokens';
export class EvalRunItems {
  readonly #askings: readonly Asking[];
  readonly #sampled: Sampled | null;
  readonly #sums = new Map<string, EvalModelCount>();
  readonly #lines = new LineSplitter((line, number) => this.#addLine(line, number), LINE_BYTES_MAX);
  #items = 0;
  #cost: PicoUsd = 0n;
  #error: ApiError | null = null;

  private constructor(askings: readonly Asking[], sampled: Sampled | null) {
    this.#askings = askings;
    this.#sampled = sampled;
  }

  /** Reads what each model is asked; an error where nothing bounds that. Items of the request itself are counted at once. */
  static begin(
    { source, criteria }: EvalRunQuestion,
    book: PriceBook,
    nowMs: number,
  ): EvalRunItems | ApiError {
    const sampling = source.type === 'jsonl' ? null : readSampling(source, book, nowMs);
    if (isApiError(sampling)) return sampling;
    const askings = sampling === null ? [] : [sampling];
    for (const [index, grader] of criteria.entries()) {
      const asking = readGrader(grader, `testing_criteria[${index}]`, book, nowMs);
      if (isApiError(asking)) return asking;
      if (asking !== null) askings.push(asking);
    }
    const isKnown = sampling !== null && encodingOf(sampling.model) !== null;
    const bytes = isKnown ? sampling.outputTokens * TOKEN_BYTES_MAX : null;
    const items = new EvalRunItems(askings, sampling && { bytes });
    const { content } = isObject(source.source) ? source.source : {};
    if (Array.isArray(content))
      for (const [index, item] of content.entries()) items.#add(item, `data_source.source.content[${index}]`);
    return items;
  }

  /** Takes the next piece of the file with the items. */
  push(piece: Buffer): void {
    this.#lines.push(piece);
  }

  /** Returns the sums, after the last piece. */
  end(): EvalRunCount | ApiError {
    this.#lines.end();
    if (this.#error !== null) return this.#error;
    if (this.#items === 0)
      return apiError('invalid_request', 'The run has no items.', { param: 'data_source.source' });
    const models = [...this.#sums.values()];
    return { kind: 'eval_run', items: this.#items, models, usd: formatUsd(this.#cost) };
  }

  #addLine(line: Buffer | null, number: number): void {
    const where = `data_source.source: line ${number}`;
    if (line?.length === 0) return;
    if (line === null) this.#fail(`${where} has more than ${LINE_BYTES_MAX} bytes`);
    else if (isTooComplex(line)) this.#fail(`${where} holds too many values to be read`);
    else this.#add(parseJson(line.toString()), where);
  }

  #fail(problem: string): void {
    this.#error ??= apiError('invalid_request', `${problem}.`, { param: 'data_source.source' });
  }

  #add(row: Json | undefined, where: string): void {
    if (this.#error !== null) return;
    if (!isObject(row) || !isObject(row.item)) {
      this.#fail(`${where} must be an object with an 'item'`);
      return;
    }
    this.#items++;
    for (const asking of this.#askings) {
      const problem = this.#ask(asking, row);
      if (problem === null) continue;
      this.#fail(`${where}: ${problem}`);
      return;
    }
  }

  /** Adds one call; returns why it cannot be bounded, or null. */
  #ask(asking: Asking, row: JsonObject): string | null {
    const { card, operation, outputTokens, model } = asking;
    const inputTokens = this.#inputOf(asking, row);
    if (typeof inputTokens === 'string') return inputTokens;
    const bound = estimate({ ...operation, inputTokensBound: inputTokens }, card, { strict: true });
    if (isApiError(bound)) return bound.message;
    this.#cost += costUpTo(bound, outputTokens);
    const before = this.#sums.get(model);
    const longAbove = card.tiers.default?.longContextAboveTokens ?? null;
    this.#sums.set(model, {
      model,
      calls: (before?.calls ?? 0) + 1,
      inputTokens: (before?.inputTokens ?? 0) + inputTokens,
      outputTokens: (before?.outputTokens ?? 0) + outputTokens,
      mayBeLong: before?.mayBeLong === true || (longAbove !== null && inputTokens >= longAbove),
    });
    return null;
  }

  /** The most input tokens of one call: bytes bound them; an answer that is not written yet is bounded by the window as well. */
  #inputOf({ fixedTokens, places, isReference, card, model }: Asking, row: JsonObject): number | string {
    let tokens = fixedTokens;
    let generated: number | null = 0;
    for (const place of places) {
      const isGenerated = place[0] === 'sample' && this.#sampled !== null;
      if (!isGenerated) {
        const value = valueAt(row, place);
        if (isReference && !hasOnlyText(value))
          return `'${place.join('.').slice(0, 100)}' has messages that are no text`;
        tokens += bytesOf(value);
      } else if (
        generated !== null &&
        this.#sampled !== null &&
        isWholeText(place) &&
        this.#sampled.bytes !== null
      )
        generated += this.#sampled.bytes;
      else generated = null;
    }
    if (generated === 0) return tokens;
    const { maxInputTokens } = card.limits;
    if (maxInputTokens === null && generated === null)
      return `the answers that ${quote(model)} is to grade have no known bound: its longest input is not known`;
    const window = maxInputTokens === null ? Number.POSITIVE_INFINITY : Math.max(maxInputTokens, tokens);
    return Math.min(window, generated === null ? Number.POSITIVE_INFINITY : tokens + generated);
  }
}

/** The answer as it was written; other places may hold it several times over. */
function isWholeText([, name, ...more]: Place): boolean {
  return name === 'output_text' && more.length === 0;
}

function readSampling(source: JsonObject, book: PriceBook, nowMs: number): Asking | ApiError {
  const { type, model, input_messages: input, sampling_params: given } = source;
  const sampling = isObject(given) ? given : {};
  const url = typeof type === 'string' && Object.hasOwn(SAMPLED_BY, type) ? SAMPLED_BY[type] : undefined;
  if (url === undefined) return invalid('data_source.type', "must be 'jsonl', 'completions' or 'responses'");
  if (typeof model !== 'string' || model === '')
    return invalid('data_source.model', 'must be the name of a model');
  if (!isObject(input)) return invalid(INPUT, 'must be an object');
  const tools = Array.isArray(sampling.tools) ? sampling.tools : [];
  if (tools.some((tool) => !isObject(tool) || (tool.type !== 'function' && tool.type !== 'custom')))
    return unbounded(
      'data_source.sampling_params.tools',
      'what tools of the upstream cost is not held in a run',
      "Tools of the types 'function' and 'custom' pass.",
    );
  const limit = sampling.max_completion_tokens ?? null;
  if (limit !== null && !isLimit(limit)) return invalid(LIMIT, 'must be a positive integer');
  const { type: form, template, item_reference: reference } = input;
  const isReference = form === 'item_reference' && typeof reference === 'string';
  if (!isReference && !(form === 'template' && Array.isArray(template)))
    return invalid(INPUT, "must be a 'template' of messages, or an 'item_reference'");
  const texts = isReference ? `{{${reference}}}` : template;
  const asked = {
    url,
    model,
    limit,
    texts,
    isReference,
    whole: source,
    param: 'data_source',
    limitParam: LIMIT,
  };
  return readAsking(asked, book, nowMs);
}

/** Null: it asks no model. */
function readGrader(grader: Json, param: string, book: PriceBook, nowMs: number): Asking | null | ApiError {
  const {
    type,
    model,
    input,
    sampling_params: given,
    evaluation_metric: metric,
  } = isObject(grader) ? grader : {};
  if (type === 'string_check' || type === 'python' || (type === 'text_similarity' && metric !== 'cosine'))
    return null;
  if ((type !== 'score_model' && type !== 'label_model') || typeof model !== 'string')
    return unbounded(
      `${param}.type`,
      `what this grader of the eval costs is not known`,
      "Graders pass that compare texts ('string_check', 'text_similarity' without 'cosine'), run code ('python') or name the model that they ask ('score_model', 'label_model').",
    );
  // By the specification (2.3.0) it is `max_completions_tokens`; a label has no limit.
  const most = type === 'score_model' && isObject(given) ? (given.max_completions_tokens ?? null) : null;
  const limit = isLimit(most) ? most : null;
  const texts = { url: '/v1/chat/completions', texts: input, isReference: false };
  const asked = { ...texts, model, limit, whole: grader, param };
  return readAsking({ ...asked, limitParam: `${param}.sampling_params.max_completions_tokens` }, book, nowMs);
}

interface Asked {
  url: string;
  model: string;
  limit: number | null;
  /** The messages, with places for the item. */
  texts: Json | undefined;
  isReference: boolean;
  /** All that may be part of the input: its bytes bound the tokens of what is the same for all items. */
  whole: Json;
  param: string;
  limitParam: string;
}

function readAsking(asked: Asked, book: PriceBook, nowMs: number): Asking | ApiError {
  const { url, model, limit, texts, isReference, whole, param, limitParam } = asked;
  const card = cardOf(book, model, nowMs);
  if (isApiError(card)) return card;
  const outputTokens = limit ?? card.limits.maxOutputTokens;
  if (outputTokens === null)
    return unbounded(
      limitParam,
      `the longest answer of ${quote(model)} is not known`,
      'Say the most that it may write.',
    );
  const places = placesIn(texts, param);
  if (isApiError(places)) return places;
  const operation = operationOf(url, model, outputTokens, param);
  if (isApiError(operation)) return operation;
  const more = param === 'data_source' ? 0 : GRADER_TOKENS;
  const { source: _items, ...said } = isObject(whole) ? whole : {};
  const fixedTokens = Buffer.byteLength(JSON.stringify(said)) + FRAMING_TOKENS + more;
  return { model, card, operation, fixedTokens, outputTokens, places, isReference };
}

/** Reads the call that an item becomes, without its messages: what its model costs beside tokens is refused. */
function operationOf(url: string, model: string, limit: number, param: string): Operation | ApiError {
  const route = findRoute('POST', url);
  if (route === null) throw new Error(`no operation: ${url}`);
  const body = url.endsWith('/responses')
    ? { model, input: '', max_output_tokens: limit }
    : { model, messages: [{ role: 'user', content: '' }], max_completion_tokens: limit };
  const request = readRequest(route, Buffer.from(JSON.stringify(body)));
  if (isApiError(request)) return request;
  const { operation } = request;
  if (operation.hosted === null) return operation;
  return unbounded(
    `${param}.model`,
    'what it searches for costs more than its tokens',
    'Name another model.',
  );
}

function isLimit(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_TOKENS;
}

function invalid(param: string, what: string): ApiError {
  return apiError('invalid_request', `'${param}' ${what}.`, { param });
}
