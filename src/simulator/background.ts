/** Background responses: made at once, shown when they are done, and billed then. */

import { cutConnection } from './deliver.ts';
import { type ApiError, invalidRequest } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isObject, type JsonObject } from './fields.ts';
import { responseHeaders } from './headers.ts';
import { NO_USAGE } from './invoice.ts';
import type { Output } from './output.ts';
import { billPart } from './plan.ts';
import type { Replayed } from './stored.ts';
import { announce } from './webhooks.ts';

interface Rendering {
  json(output: Output): string;
  /** Null: it is not streamed. */
  events: ((output: Output) => string[]) | null;
}

/** Responds that a response is under way, or with its events as they come, and finishes it in its time. */
export function startBackground(
  exchange: Exchange,
  output: Output,
  { json: render, events }: Rendering,
): void {
  const { state, entry } = exchange;
  const done = JSON.parse(render(output)) as JsonObject;
  const { usage, tools, tier, costPicoUsd } = output.plan;
  const json: JsonObject = {
    ...done,
    background: true,
    status: 'queued',
    output: [],
    usage: null,
    tool_usage: undefined,
    incomplete_details: null,
  };
  const line = {
    ...entry,
    operation: 'responses.background',
    usage,
    tools,
    service_tier: tier,
    status: null,
    fault: null,
  };
  const finish = () => {
    Object.assign(json, done, { background: true });
    state.invoice.add(line, costPicoUsd);
    announce(state, 'response', String(json.status), json.id);
  };
  const work =
    events === null
      ? new Work([], state.profile.jobMs, finish)
      : new Work(backgroundEvents(events(output)), state.profile.jobMs, finish);
  const input = { json: () => json, input: () => [], metadata: json.metadata ?? {} };
  const cancel = () => {
    if (work.isOver) return invalidRequest('Cannot cancel a completed response.');
    work.stop();
    json.status = 'cancelled';
    // What it had written by then is billed, and not said.
    const part = billPart(output.plan, Math.floor(usage.output_tokens / 2));
    state.invoice.add({ ...line, usage: part.usage }, part.costPicoUsd);
    announce(state, 'response', 'cancelled', json.id);
    return json;
  };
  state.stored.responses.add({ id: String(json.id), ...input, cancel, work: events === null ? null : work });
  if (events !== null) sendEvents(exchange, work, -1);
  else exchange.send(200, 'application/json', JSON.stringify(json), 0n);
}

/** Between two steps of work, in milliseconds. */
const STEP_MS = 5;

/** Work in the background: its events become known over its time, and stay. */
class Work implements Replayed {
  /** Those that are known. */
  readonly events: string[] = [];
  isOver = false;
  readonly #readers = new Set<() => void>();
  #timer: NodeJS.Timeout;

  /** @param done called when the last event is known */
  constructor(events: readonly string[], overMs: number, done: () => void) {
    const steps =
      events.length === 0 ? 1 : Math.max(1, Math.min(events.length, Math.floor(overMs / STEP_MS)));
    let step = 0;
    const next = () => {
      step++;
      this.events.push(...events.slice(this.events.length, Math.ceil((events.length * step) / steps)));
      if (step < steps) this.#timer = setTimeout(next, overMs / steps).unref();
      else {
        this.isOver = true;
        done();
      }
      this.#tell();
    };
    // What says that it has begun is known at once.
    this.events.push(...events.slice(0, 2));
    this.#timer = setTimeout(next, overMs / steps).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.isOver = true;
    this.#tell();
  }

  watch(reader: () => void): () => void {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  #tell(): void {
    for (const reader of this.#readers) reader();
  }
}

/** Sends the events behind one of this number, those to come as they come. None of this is billed. */
function sendEvents(exchange: Exchange, work: Replayed, after: number): void {
  const { response, entry, random, directives, state } = exchange;
  entry.status = 200;
  entry.usage = NO_USAGE;
  entry.tools = undefined;
  entry.image_generation = undefined;
  const line = state.invoice.add(entry, 0n);
  const type = 'text/event-stream; charset=utf-8';
  response.writeHead(200, responseHeaders(entry.request_id, type, random));
  let next = after + 1;
  // A cut comes with the first event of text, in the middle of it.
  const isCut = directives.fault === 'cut_mid_stream';
  const write = () => {
    for (; next < work.events.length; next++) {
      const event = work.events[next] ?? '';
      if (isCut && event.includes('.delta"')) {
        unwatch();
        response.write(event.slice(0, -10), () => cutConnection(response));
        return;
      }
      response.write(event);
    }
    if (!work.isOver) return;
    unwatch();
    response.end(() => {
      line.completed = true;
    });
  };
  const unwatch = work.watch(write);
  response.once('close', unwatch);
  write();
}

/** Those of a stream that is waited for, with new numbers: the response is queued before it is worked on. */
function backgroundEvents(events: readonly string[]): string[] {
  const [created, ...rest] = events.map(dataOf);
  if (created === undefined) return [];
  const queued: JsonObject = { ...created, response: { ...objectOf(created.response), status: 'queued' } };
  return [queued, { ...queued, type: 'response.queued' }, ...rest].map(
    (event: JsonObject, sequence_number) => {
      const data = JSON.stringify({ ...event, sequence_number });
      return `event: ${event.type}\ndata: ${data}\n\n`;
    },
  );
}

function dataOf(event: string): JsonObject {
  return JSON.parse(event.slice(event.indexOf('data: ') + 'data: '.length)) as JsonObject;
}

function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

/** Handles a request for the events of a response, where it asks for them. Returns null: they are sent. */
export function replay(
  exchange: Exchange,
  work: Replayed | null | undefined,
  search: URLSearchParams,
): null | ApiError {
  if (work === null || work === undefined)
    return invalidRequest('This response cannot be streamed: it was not created with background and stream.');
  const after = Number(search.get('starting_after') ?? -1);
  if (!Number.isInteger(after)) return invalidRequest("Invalid 'starting_after': expected an integer.");
  sendEvents(exchange, work, after);
  return null;
}
