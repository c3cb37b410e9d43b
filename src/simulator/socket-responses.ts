/**
 * `/v1/responses` over a WebSocket: each `response.create` is read, planned, billed and kept like a request over HTTP. Those
 * of one `stream_id` follow one another, others run beside them. Of what is not stored, the last response is kept until the next.
 */
import { readDirectives } from './directives.ts';
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import { errorOfFault, htmlStatus } from './faults.ts';
import { isObject, type JsonObject } from './fields.ts';
import { KeptState } from './kept.ts';
import { RESPONSES, readCall } from './operations.ts';
import { composeOutput, type Output, tokensWritten } from './output.ts';
import { billPart, type Plan, planCall } from './plan.ts';
import {
  keepResponse,
  outputItemsOf,
  responseEvents,
  responseFailure,
  responseJson,
} from './render-responses.ts';
import type { Session, Work } from './socket.ts';
import { storeAnswer } from './stored-api.ts';

/** One connection has so many lanes in its life. */
const LANES_MAX = 32;
const LANES_FULL = invalidRequest(
  'This WebSocket connection has reached its stream limit.',
  'stream_id',
  'websocket_stream_limit_reached',
);
const LANE = /^[\w.-]{1,256}$/;

export function serveResponses(session: Session): null {
  const connection = { session, kept: new KeptState(session.state.kept) };
  const lanes = new Map<string, Promise<void>>();
  session.onInvalid = (error) => refuse(session, null, session.begin('responses'), error);
  session.onExpired = () => {
    const message = 'This WebSocket connection has reached its maximum duration of 60 minutes.';
    const error = {
      type: 'invalid_request_error',
      code: 'websocket_connection_limit_reached',
      message,
      param: null,
    };
    session.send({ type: 'error', status: 400, error });
  };
  session.onMessage = (message) => {
    const { type, stream_id, ...body } = message;
    const lane = typeof stream_id === 'string' ? stream_id : null;
    const isFull = lanes.size >= LANES_MAX && !lanes.has(lane ?? '');
    const error = isFull ? LANES_FULL : checkEnvelope(type, stream_id, body);
    if (error) {
      refuse(session, lane, session.begin('responses'), error);
      return;
    }
    const before = lanes.get(lane ?? '') ?? Promise.resolve();
    lanes.set(
      lane ?? '',
      before.then(() => respond(connection, lane, body)),
    );
  };
  return null;
}

interface Connection {
  session: Session;
  /** What this connection alone keeps. */
  kept: KeptState;
}

function checkEnvelope(type: unknown, streamId: unknown, body: JsonObject): ApiError | null {
  if (type !== 'response.create') {
    const message = `Invalid value: '${String(type)}'. Supported values are: 'response.create'.`;
    return invalidRequest(message, 'type', 'invalid_value');
  }
  if (streamId !== undefined && !(typeof streamId === 'string' && LANE.test(streamId)))
    return invalidRequest("Invalid 'stream_id'.", 'stream_id', 'invalid_value');
  if (body.background === true)
    return invalidRequest('Background responses are not supported over WebSocket.', 'background');
  return null;
}

function refuse(session: Session, lane: string | null, work: Work, error: ApiError): void {
  const { status, message, type, param, code } = error;
  session.bill(work, status, 0n);
  send(session, lane, { type: 'error', status, error: { type, code, message, param } });
}

function send(session: Session, lane: string | null, event: object): void {
  session.send(lane === null ? event : { ...event, stream_id: lane });
}

/** Resolves when the last event was sent; never, when it hangs. */
function respond({ session, kept }: Connection, lane: string | null, sent: JsonObject): Promise<void> {
  const { state } = session;
  const { generate, ...body } = sent;
  const ordered = readDirectives(orderOf(body));
  const work = session.begin('responses', isApiError(ordered) ? {} : ordered);
  const { directives } = work;
  const context = { state: { ...state, kept }, directives, key: work.key };
  const call = readCall(context, RESPONSES, Buffer.from(JSON.stringify({ ...body, stream: true })));
  const fail = (error: ApiError): Promise<void> => {
    refuse(session, lane, work, error);
    return Promise.resolve();
  };
  if (isApiError(ordered)) return fail(ordered);
  if (isApiError(call)) return fail(call);
  work.entry.model = call.servedName;
  const faultError = work.fault && errorOfFault(work.fault.name);
  if (faultError) return fail(faultError);
  const { containers, profile } = state;
  const planned = planCall(call, {
    mode: session.modeOf(work),
    profile,
    directives,
    random: work.random,
    containers,
  });
  if (isApiError(planned)) return fail(planned);
  const plan = generate === false ? withoutOutput(planned) : planned;
  const isBilled = work.fault?.billed ?? true;
  if (isBilled) Object.assign(work.entry, { usage: plan.usage, tools: plan.tools, service_tier: plan.tier });
  const withUsage = work.fault?.name !== 'no_usage';
  const asked = generate === false ? null : call.asked;
  const output = composeOutput(
    { ...call, asked },
    plan,
    work.random,
    profile,
    directives,
    withUsage,
    work.entry.request_id,
  );
  if (work.fault?.name !== 'failed' && isBilled) {
    const history = kept.historyOf(call.body);
    keepResponse(state.kept, output);
    storeAnswer(state.stored, { operation: 'responses', id: output.id, body: call.body }, () =>
      responseJson(output),
    );
    if (call.body.store === false && !isApiError(history)) {
      const own = (call.items ?? []).concat(outputItemsOf(output));
      kept.keepLast(`resp_${output.id}`, [...history, ...own]);
    }
  }
  return deliver(session, lane, work, output, generate === false);
}

/** A message may order its own fate in its metadata, as a request does in the header. */
function orderOf({ metadata }: JsonObject): string | undefined {
  return isObject(metadata) && typeof metadata.simulator === 'string' ? metadata.simulator : undefined;
}

/** Plans the input alone: the state is made ready, and nothing is written. */
function withoutOutput(plan: Plan): Plan {
  const returned = plan.returned.map((one) => ({ ...one, tokens: 0, reasoningTokens: 0, cut: false }));
  return { ...plan, ...billPart(plan, 0), returned };
}

function deliver(
  session: Session,
  lane: string | null,
  work: Work,
  output: Output,
  isWarmup: boolean,
): Promise<void> {
  const { plan } = output;
  const isBilled = work.fault?.billed ?? true;
  const cost = isBilled ? plan.costPicoUsd : 0n;
  const fault = work.fault?.name;
  if (fault === 'hang' || fault === 'cut_before_headers' || (fault && htmlStatus(fault))) {
    session.bill(work, null, cost);
    if (fault !== 'hang') session.cut();
    return new Promise(() => {});
  }
  const rendered = isWarmup ? warmupEvents(output) : responseEvents(output);
  const half = rendered.slice(0, rendered.length >> 1);
  const events =
    fault === 'failed'
      ? [...half, responseFailure(output, half.length)]
      : fault === 'cut_mid_stream'
        ? half
        : rendered;
  const line = session.bill(work, 200, cost);
  let written = 0;
  const stops = work.directives.stopsWithClient ?? session.state.profile.stopsWithClient;
  const settled = session.onClose(() => {
    if (!stops || !isBilled) return;
    const part = billPart(plan, tokensWritten(output, rendered, written));
    session.state.invoice.amend(line, part.usage, part.costPicoUsd);
  });
  return new Promise((resolve) => {
    const write = (at: number): void => {
      written = at + 1;
      send(session, lane, dataOf(events[at] ?? ''));
    };
    session.pace(work, events.length, write, () => {
      settled();
      if (fault === 'cut_mid_stream') session.cut();
      else line.completed = true;
      // Without its last event a stream has no end but that of the connection.
      if (fault === 'no_usage') session.close(1000, '');
      resolve();
    });
  });
}

/** A stream's events without their names. */
function dataOf(event: string): object {
  return JSON.parse(event.slice(event.indexOf('\ndata: ') + 7));
}

function warmupEvents(output: Output): string[] {
  const ends = /^event: response\.(created|in_progress|completed)\n/;
  const events = responseEvents(output).filter((event) => ends.test(event));
  return events.map((event, sequence_number) => {
    const json = dataOf(event) as { type: string; response: object };
    const written = { ...json, sequence_number, response: { ...json.response, output: [] } };
    return `event: ${json.type}\ndata: ${JSON.stringify(written)}\n\n`;
  });
}
