/**
 * One call's lifetime, beside what its stages find: the exchange with its client, how long each stage took, what may end
 * the call before its time, and what the client gets: the upstream's bytes, status and headers, or an error in OpenAI's
 * shape. Does not own: when a stage responds. Invariant: one response to each call, and none after its client has left.
 */
import type { Denial } from '../admission/decide.ts';
import type { Account, CallKind } from '../domain/budget.ts';
import type { CallContent } from '../domain/contents.ts';
import type { CallSubjects } from '../domain/counter.ts';
import { type ApiError, ERRORS } from '../domain/errors.ts';
import type { KeyId, TeamId } from '../domain/ids.ts';
import { type Instead, insteadText, type Principal } from '../domain/limit.ts';
import { formatUsd } from '../domain/quantities.ts';
import { warningHeader } from '../domain/warning.ts';
import type { Hold, Outcome } from '../ledger/events.ts';
import type { Descriptor } from '../openai/operations/descriptor.ts';
import { clientHeaders } from '../openai/response.ts';
import type { StreamMeter } from '../openai/usage/stream.ts';
import { errorBody, errorEvent, errorHeaders } from '../openai/wire/errors.ts';
import { STAGES, type Stage, type StageDurationsUs } from '../telemetry/measurement.ts';
import type { Exchange } from '../wire/exchange.ts';
import { freeMemory } from '../wire/slices.ts';
import { type Bodies, noMemory } from './bodies.ts';
import type { Pass } from './breaker.ts';
import { withoutCors } from './cors.ts';
import type { GatewayDeps } from './deps.ts';
import { type Ending, errorOfEnding, errorOfReplay } from './ending-error.ts';

const INDEX = new Map<Stage, number>(STAGES.map((stage, index) => [stage, index]));

/** Starts when it is made. Times are in microseconds, on the monotonic clock. */
class StageClock {
  /** In the order of STAGES; -1: the call did not reach it. Fixed in length, so that a call makes no other object for it. */
  readonly #durationsUs = [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1];
  #startedMs = performance.now();

  /** Ends a stage now; time until the next end belongs to the next stage. */
  ended(stage: Stage): void {
    const nowMs = performance.now();
    const index = INDEX.get(stage) ?? 0;
    const before = this.#durationsUs[index] ?? -1;
    const spentUs = Math.round((nowMs - this.#startedMs) * 1000);
    this.#durationsUs[index] = before < 0 ? spentUs : before + spentUs;
    this.#startedMs = nowMs;
  }

  /** Returns the durations so far by stage; a stage that was not reached is missing. */
  durations(): StageDurationsUs {
    const durations: StageDurationsUs = {};
    for (let index = 0; index < STAGES.length; index++) {
      const stage = STAGES[index];
      const spentUs = this.#durationsUs[index] ?? -1;
      if (stage !== undefined && spentUs >= 0) durations[stage] = spentUs;
    }
    return durations;
  }
}

/** `client_gone`: the client's connection broke. `cut`: the gateway stops and will not wait for this call any longer. */
export type Interruption = 'client_gone' | 'cut';

interface Memory {
  bodies: Bodies;
  teamId: TeamId;
  keyId: KeyId;
  bytes: number;
  unsent: Buffer | null;
}

export class Call {
  readonly exchange: Exchange;
  readonly clock = new StageClock();
  /** Among those under way. */
  place = -1;
  clientGone = false;
  isCut = false;
  /** Headers of every response to a page that may read it; null: the caller is no page. */
  cors: readonly string[] | null = null;
  /** Of a circuit of the breaker that is watched; null, as a rule: none is. */
  pass: Pass | null = null;
  /** What a limit did instead of denying it; null: none did. */
  instead: Instead | null = null;
  /** It waited for a limit, in which what is known of it may have changed. */
  hasPaused = false;
  #watcher: ((interruption: Interruption) => void) | null = null;
  readonly #onOver: (call: Call) => void;
  /** Memory of its body that was taken. */
  #memory: Memory | null = null;
  #isClosed = false;
  #isServed = false;

  /**
   * @param onOver called once when the call was served and its response has left, or its connection is gone: closing the
   * connection earlier would cut the response, and a client that left does not end what its call costs
   */
  constructor(exchange: Exchange, onOver: (call: Call) => void) {
    this.exchange = exchange;
    this.#onOver = onOver;
    exchange.onClose = (finished) => {
      this.#isClosed = true;
      if (!finished) this.#interrupt('client_gone');
      if (this.#isServed) onOver(this);
    };
  }

  /** Takes memory for the call's body, or for more of it; returns why there is none. */
  takeMemory(bodies: Bodies, { teamId, keyId }: Principal, bytes: number): ApiError | null {
    const shortage = bodies.take(teamId, keyId, bytes);
    if (shortage !== null) return noMemory(shortage, bodies);
    this.#memory ??= { bodies, teamId, keyId, bytes: 0, unsent: null };
    this.#memory.bytes += bytes;
    return null;
  }

  /** A large body of the call, which nothing else reads. If it is refused, its memory is free with the end of the call. */
  set unsentBody(body: Buffer | null) {
    if (this.#memory !== null) this.#memory.unsent = body;
  }

  /** The call's body has left, or is not needed any more. */
  giveMemoryBack(): void {
    const memory = this.#memory;
    if (memory === null) return;
    this.#memory = null;
    memory.bodies.giveBack(memory.teamId, memory.keyId, memory.bytes);
    if (memory.unsent !== null) freeMemory(memory.unsent);
  }

  /** The gateway's part has ended: the call is in the ledger, or was refused. */
  served(): void {
    this.#isServed = true;
    this.giveMemoryBack();
    if (this.#isClosed) this.#onOver(this);
  }

  /** The stage at work ends the call in its own way when it is interrupted; one stage at a time. */
  watch(watcher: (interruption: Interruption) => void): void {
    this.#watcher = watcher;
  }

  unwatch(): void {
    this.#watcher = null;
  }

  /** Ends the call now, wherever it is. A stage that does not watch has nothing to say: the connection breaks. */
  cut(): void {
    if (this.#watcher === null) this.exchange.destroy();
    this.#interrupt('cut');
  }

  #interrupt(interruption: Interruption): void {
    if (interruption === 'cut') this.isCut = true;
    else this.clientGone = true;
    this.#watcher?.(interruption);
  }

  /** The stage ends here; the next one begins. */
  ended(stage: Stage): void {
    this.clock.ended(stage);
  }
}

/**
 * The end of a call that is not forwarded, instead of the next stage's type. What the stages had found by then decides how
 * the error is counted.
 */
export interface Stopped {
  readonly kind: 'stopped';
  readonly call: Call;
  /** Null: the client left, so there is nothing to say. */
  readonly error: ApiError | null;
  /** Name of the operation; null: the request line names none that is known. */
  readonly operation: string | null;
  /** Whose call it was; null: not known. */
  readonly account: Account | null;
  readonly endUser: string | null;
  /** Missing: no limit denied it. */
  readonly denial?: Denial;
}

/** Stops a call whose account is known. */
export function stopped(
  call: Call,
  error: ApiError | null,
  operation: string,
  account: Account,
  endUser: string | null,
): Stopped {
  return { kind: 'stopped', call, error, operation, account, endUser };
}

interface Understood extends Pick<HeldCall, 'call' | 'account' | 'callKind'> {
  readonly request: { readonly descriptor: Descriptor };
}

/** Stops a call whose request was understood. @param account as it is now, where it was read again */
export function stoppedAs(asked: Understood, error: ApiError | null, account = asked.account): Stopped {
  return stopped(asked.call, error, asked.request.descriptor.name, account, asked.callKind.endUser);
}

export type UpstreamHeaders = Record<string, string | string[] | undefined>;

/** The upstream's response, as far as it came. */
export interface UpstreamResponse {
  readonly ending: Ending;
  /** 0 when no response began. */
  readonly status: number;
  readonly headers: UpstreamHeaders;
  /** The whole body where it was kept back until it is metered; null once it was relayed. */
  readonly body: Buffer | null;
  /** The decoded body, to be metered; null where a stream's meter read along, or it cannot be read. */
  readonly readable: Buffer | null;
  /** The meter that read along; null where there was none. */
  readonly stream: StreamMeter | null;
  readonly firstByteUs: number | null;
  readonly totalUs: number;
  /** Its client left, but not before the stream was whole. */
  readonly hadAll: boolean;
  /** What was said, for a team that keeps it; missing or null: it is not kept. */
  readonly content?: CallContent | null;
}

/** A call whose money is held, as far as its response needs it. */
interface HeldCall {
  readonly call: Call;
  readonly account: Account;
  readonly callKind: CallKind;
  readonly descriptor: Descriptor;
  readonly hold: Hold;
  readonly maxToolCalls: number | null;
  /** The choice of tools was written in, and a model that makes images; null: none was. */
  readonly hasOwnTools: boolean;
  readonly imageModel: string | null;
  readonly audioType: string | null;
}

const NOTHING = Buffer.alloc(0);
/** A retry of a call whose outcome is not known may be charged again, whatever the upstream advises. */
const RETRY_ADVICE: ReadonlySet<string> = new Set(['x-should-retry']);

/** Writes the head of a response that is relayed as it comes; its cost is not known yet, its hold is. */
export function beginStream(
  deps: GatewayDeps,
  held: HeldCall,
  status: number,
  headers: UpstreamHeaders,
): void {
  const { call, descriptor, hold } = held;
  const flat = headersFor(call, headers);
  // A file comes as it is: nothing is removed from it.
  const length = descriptor.isFile ? headers['content-length'] : undefined;
  if (typeof length === 'string') flat.push('content-length', length);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-hold-usd', formatUsd(hold.amount));
  addCommon(deps, held, flat);
  call.exchange.writeHead(status, flat);
  call.exchange.write(NOTHING);
}

/** What a call was charged, as far as its client can know. */
type Charged = Pick<Outcome, 'outcome' | 'provenance' | 'cost'>;

/** Ends the response of a forwarded call. */
export function respond(
  deps: GatewayDeps,
  held: HeldCall,
  response: UpstreamResponse,
  outcome: Charged,
): void {
  const { call, account, callKind, hold } = held;
  if (call.clientGone) return;
  if (response.body === null) endStream(held, response, outcome);
  else if (response.ending === 'complete') writeWhole(deps, held, response, response.body, outcome);
  else
    writeError(
      call,
      errorOfEnding(response.ending, outcome.outcome),
      hold.id,
      warningOf(deps, account, callKind),
    );
}

function writeWhole(
  deps: GatewayDeps,
  held: HeldCall,
  response: UpstreamResponse,
  body: Buffer,
  { outcome, cost }: Pick<Outcome, 'outcome' | 'cost'>,
): void {
  const { call, account, callKind, hold } = held;
  const flat = headersFor(call, response.headers, outcome === 'unknown' ? RETRY_ADVICE : null);
  // What a job costs is known when it ends.
  const isKnown = hold.job === null;
  flat.push('x-tollgate-request-id', hold.id);
  flat.push(isKnown ? 'x-tollgate-cost-usd' : 'x-tollgate-hold-usd', formatUsd(isKnown ? cost : hold.amount));
  if (outcome === 'unknown') flat.push('x-should-retry', 'false');
  const remaining = deps.ledger.remaining(account, callKind, hold);
  if (remaining !== null) flat.push('x-tollgate-remaining-usd', formatUsd(remaining));
  addCommon(deps, held, flat);
  call.exchange.respond(response.status, flat, body);
}

function headersFor(
  call: Call,
  upstream: UpstreamHeaders,
  without: ReadonlySet<string> | null = null,
): string[] {
  const headers = clientHeaders(upstream, without);
  return call.cors === null ? headers : [...withoutCors(headers), ...call.cors];
}

function addCommon(
  deps: GatewayDeps,
  { call, account, callKind, hold, maxToolCalls, hasOwnTools, imageModel }: HeldCall,
  flat: string[],
): void {
  const { outputLimit } = hold;
  if (outputLimit !== null) flat.push('x-tollgate-output-limit', String(outputLimit));
  if (maxToolCalls !== null) flat.push('x-tollgate-max-tool-calls', String(maxToolCalls));
  if (hasOwnTools) flat.push('x-tollgate-tool-choice', 'own');
  if (imageModel !== null) flat.push('x-tollgate-image-model', imageModel);
  if (call.instead !== null) flat.push('x-tollgate-on-exhausted', insteadText(call.instead, callKind.model));
  const warning = warningOf(deps, account, callKind);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
  if (!deps.shutdowns.isEmpty) {
    const shutdown = deps.shutdowns.headerOf(callKind.model, deps.clock.nowMs());
    if (shutdown !== null) flat.push('x-tollgate-warning', shutdown);
  }
}

/**
 * A stream that just stops looks like success to the SDKs. One without its last event ends with an error event, however
 * its connection ended; or, where nothing can be written into it (it is compressed, or audio), with a broken connection.
 */
function endStream(held: HeldCall, response: UpstreamResponse, charged: Charged): void {
  const { call, audioType } = held;
  const { exchange } = call;
  const { ending, stream } = response;
  if (stream === null && ending !== 'complete') exchange.destroy();
  else if (stream !== null && audioType !== null && stream.result().state !== 'complete') exchange.destroy();
  else if (stream === null) exchange.end();
  else {
    const comment = audioType === null ? costComment(held, charged) : '';
    const error = stream.isWhole ? '' : streamError(held, response, stream, charged);
    if (comment === '' && error === '') exchange.end();
    else exchange.end(Buffer.from(stream.separator + error + comment));
  }
}

function streamError(
  { hold, descriptor }: HeldCall,
  { ending }: UpstreamResponse,
  { nextSequenceNumber: next }: StreamMeter,
  { outcome }: Charged,
): string {
  const goesOn = hold.job !== null || descriptor.replays !== null;
  return errorEvent(goesOn ? errorOfReplay(ending, next ?? 0) : errorOfEnding(ending, outcome), next);
}

const COST_HEADER = 'x-tollgate-cost';

/** What a stream cost, as a comment that readers of events pass over; empty: its client did not ask for it. */
function costComment({ call, hold }: HeldCall, { provenance, cost }: Charged): string {
  if (call.exchange.header(COST_HEADER) !== 'comment') return '';
  // What a job costs is known when it ends.
  const isExact = provenance === 'reported' && hold.job === null;
  const said = isExact
    ? `x-tollgate-cost-usd: ${formatUsd(cost)}`
    : `x-tollgate-hold-usd: ${formatUsd(hold.amount)}`;
  return `: ${said}\n\n`;
}

/** Writes an error as the whole response; nothing where a response has begun or its client has left. */
export function writeError(
  call: Call,
  error: ApiError,
  requestId: string,
  warning: string | null = null,
): void {
  const { exchange } = call;
  if (call.clientGone || exchange.headersSent) return;
  const flat = ['x-tollgate-request-id', requestId];
  for (const [name, value] of Object.entries(errorHeaders(error))) flat.push(name, value);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
  if (call.cors !== null) flat.push(...call.cors);
  exchange.respond(ERRORS[error.code].status, flat, errorBody(error));
}

/** Returns what the account's budgets have reached, for the header; null, as nearly always: no threshold. */
export function warningOf(
  deps: GatewayDeps,
  account: Account,
  { endUser, tags = null }: CallSubjects,
): string | null {
  if (account.warnings.length === 0) return null;
  return warningHeader(account.warnings, endUser, deps.clock.nowMs(), tags);
}
