/**
 * What a batch costs, line by line from its input file, beside the same calls sent singly. Owns: the sums by model, and what
 * is wrong with which line. Does not own: the bound of a call (domain/estimate), which is the gateway's own. Invariants: no
 * sum is below the bill; memory does not grow with the file but for the names that must not come twice.
 */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { costUpTo, estimate, outputTokensUpTo } from '../domain/estimate.ts';
import { CALLS_WRITTEN_IN, hostedBound } from '../domain/hosted.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { Operation } from '../domain/operation.ts';
import type { RateCard } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { isObject, parseJson } from '../openai/body.ts';
import { findRoute, type ParsedRequest, readRequest } from '../openai/request.ts';
import type { PriceBook } from './book.ts';
import { isTooComplex, LineSplitter } from './lines.ts';
import { LINE_BYTES_MAX, type LineProblem, PROBLEMS_SHOWN } from './training-file.ts';

export interface BatchQuestion {
  kind: 'batch';
  date?: string | undefined;
  /** Output tokens of a call that sets no limit; missing: the most that its model writes. */
  answer_tokens?: number | undefined;
  /** A batch will be held at it: lines that may cost what the file does not show are refused. */
  is_held?: boolean;
}

export interface BatchEstimate {
  kind: 'batch';
  date: string;
  file_bytes: number;
  lines: number;
  /** Calls that set no output limit. */
  open_ended_lines: number;
  /** What is assumed of them; null: the most that their model writes. */
  answer_tokens: number | null;
  models: BatchOfModel[];
  batch_usd: string;
  single_usd: string;
  /** Lines that are in no sum, because they cannot be read or have no price. */
  unpriced_lines: number;
  problem_count: number;
  problems: LineProblem[];
}

export interface BatchOfModel {
  model: string;
  operation: string;
  lines: number;
  /** At most. */
  input_tokens: number;
  output_tokens: number;
  batch_usd: string;
  single_usd: string;
}

/** Limits of the API (OpenAPI specification 2.3.0, POST /batches). */
const LINES_MAX = 50_000;
const FILE_BYTES_MAX = 200 * 1024 * 1024;

interface Sum {
  model: string;
  operation: string;
  lines: number;
  inputTokens: number;
  outputTokens: number;
  batch: PicoUsd;
  single: PicoUsd;
}

export class BatchFile {
  readonly #question: BatchQuestion;
  readonly #book: PriceBook;
  readonly #atMs: number;
  readonly #lines = new LineSplitter((line, number, bytes) => this.#add(line, number, bytes), LINE_BYTES_MAX);
  readonly #sums = new Map<string, Sum>();
  readonly #ids = new Set<string>();
  readonly #firstProblems: LineProblem[] = [];
  #problems = 0;
  #bytes = 0;
  #count = 0;
  #openEnded = 0;
  #unpriced = 0;

  constructor(question: BatchQuestion, book: PriceBook, nowMs: number) {
    this.#question = question;
    this.#book = book;
    this.#atMs = question.date === undefined ? nowMs : Date.parse(question.date);
  }

  push(piece: Buffer): void {
    this.#bytes += piece.length;
    this.#lines.push(piece);
  }

  /** Returns the estimate, after the last piece. */
  end(): BatchEstimate | ApiError {
    this.#lines.end();
    if (this.#count === 0)
      return apiError('invalid_request', 'file: there is no call in it', { param: 'file' });
    const ofFile: string[] = [];
    if (this.#count > LINES_MAX) ofFile.push(`${this.#count} calls: the API takes at most ${LINES_MAX}`);
    if (this.#bytes > FILE_BYTES_MAX)
      ofFile.push(`${this.#bytes} bytes: the API takes at most ${FILE_BYTES_MAX}`);
    const sums = [...this.#sums.values()].sort((a, b) =>
      a.batch === b.batch ? 0 : a.batch < b.batch ? 1 : -1,
    );
    const total = (pick: (sum: Sum) => PicoUsd) => formatUsd(sums.reduce((all, sum) => all + pick(sum), 0n));
    return {
      kind: 'batch',
      date: new Date(this.#atMs).toISOString().slice(0, 10),
      file_bytes: this.#bytes,
      lines: this.#count,
      open_ended_lines: this.#openEnded,
      answer_tokens: this.#question.answer_tokens ?? null,
      models: sums.map(({ inputTokens, outputTokens, batch, single, ...sum }) => ({
        ...sum,
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        batch_usd: formatUsd(batch),
        single_usd: formatUsd(single),
      })),
      batch_usd: total(({ batch }) => batch),
      single_usd: total(({ single }) => single),
      unpriced_lines: this.#unpriced,
      problem_count: this.#problems + ofFile.length,
      problems: [...ofFile.map((problem) => ({ line: 0, problem })), ...this.#firstProblems],
    };
  }

  #add(line: Buffer | null, number: number, bytes: number): void {
    this.#count++;
    const problem =
      line === null
        ? `has ${bytes} bytes, more than the ${LINE_BYTES_MAX} that are read`
        : this.#addCall(line, number);
    if (problem === null) return;
    this.#unpriced++;
    this.#problem(number, problem);
  }

  /** Returns why the call is in no sum; null: it is. */
  #addCall(line: Buffer, number: number): string | null {
    if (isTooComplex(line)) return 'holds too many values to be read';
    const json = parseJson(line.toString());
    if (!isObject(json)) return json === undefined ? 'is not valid JSON' : 'must be a JSON object';
    this.#checkId(json.custom_id, number);
    if (json.method !== 'POST') return "method: must be 'POST'";
    const route = typeof json.url === 'string' ? findRoute('POST', json.url) : null;
    if (route === null) return 'url: is none of an operation that Tollgate knows';
    if (!isObject(json.body)) return 'body: must be an object';
    const request = readRequest(route, Buffer.from(JSON.stringify(json.body)));
    if (isApiError(request)) return request.message;
    if (request.stream) return 'body.stream: a batch has no streams';
    if (this.#question.is_held) {
      const hidden = hiddenIn(request);
      if (hidden !== null) return hidden;
    }
    return this.#price(route.descriptor.name, request.operation);
  }

  #checkId(id: unknown, number: number): void {
    if (typeof id !== 'string' || id === '') this.#problem(number, 'custom_id: must be given');
    else if (this.#ids.has(id))
      this.#problem(number, `custom_id: ${JSON.stringify(id.slice(0, 60))} comes twice`);
    else if (this.#ids.size < LINES_MAX) this.#ids.add(id);
  }

  #price(name: string, operation: Operation): string | null {
    const { model } = operation;
    const card = model === null ? null : this.#book.cards.find(model, this.#atMs);
    const single = this.#cost(operation, card);
    if (typeof single === 'string') return single;
    const batchTier = card?.tiers.batch;
    if (operation.billable && batchTier === undefined)
      return `model: no price of '${model?.slice(0, 100)}' in a batch is known`;
    const inBatch =
      card === null || batchTier === undefined ? card : { ...card, tiers: { default: batchTier } };
    // A batch has a tier of its own, whatever the call asks for.
    const batch = this.#cost({ ...operation, serviceTier: null }, inBatch);
    if (typeof batch === 'string') return batch;
    const key = `${name} ${model}`;
    const sum = this.#sums.get(key) ?? newSum(model ?? name, name);
    this.#sums.set(key, sum);
    sum.lines++;
    sum.inputTokens += batch.inputTokens;
    sum.outputTokens += batch.outputTokens;
    sum.batch += batch.cost;
    sum.single += single.cost;
    if (operation.billable && operation.outputTokensLimit === null) this.#openEnded++;
    return null;
  }

  /** At most; a text says why there is no bound. */
  #cost(
    operation: Operation,
    card: RateCard | null,
  ): { cost: PicoUsd; inputTokens: number; outputTokens: number } | string {
    const hosted = this.#hostedOf(operation);
    const bound = isApiError(hosted) ? hosted : estimate(operation, card, { strict: true, hosted });
    if (isApiError(bound)) return bound.message;
    const perChoice = bound.outputTokensPerChoice ?? this.#question.answer_tokens ?? bound.maxOutputTokens;
    if (perChoice === null)
      return 'sets no output limit, and the most that its model writes is not known: give answer_tokens';
    const { inputTokens } = bound;
    return {
      cost: costUpTo(bound, perChoice),
      inputTokens,
      outputTokens: outputTokensUpTo(bound, perChoice),
    };
  }

  #hostedOf({ hosted, model, beyondText }: Operation) {
    if (hosted === null) return null;
    const context = { model: model ?? '', atMs: this.#atMs, callsWrittenIn: CALLS_WRITTEN_IN, beyondText };
    return hostedBound(hosted, this.#book.cards, context);
  }

  #problem(line: number, problem: string): void {
    this.#problems++;
    if (this.#firstProblems.length < PROBLEMS_SHOWN) this.#firstProblems.push({ line, problem });
  }
}

/** Returns what of a line its file does not show; null: nothing. */
function hiddenIn({ objects, operation: { hosted, beyondText, billable } }: ParsedRequest): string | null {
  const named = objects?.[0]?.param ?? beyondText?.references?.[0]?.param;
  if (named !== undefined) return `body.${named}: what the upstream keeps is not read for a batch`;
  if (hosted !== null) return `body.${hosted.param}: what tools of the upstream add is not held in a batch`;
  return billable ? null : 'url: costs nothing by itself, so that it is not sent in a batch';
}

function newSum(model: string, operation: string): Sum {
  return { model, operation, lines: 0, inputTokens: 0, outputTokens: 0, batch: 0n, single: 0n };
}
