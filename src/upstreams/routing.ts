/**
 * Routing: which of several upstreams a call takes, by model, team, price, health and weight. Does not own: what an
 * upstream is (main/upstreams.ts), how it does (health.ts), whether a call is sent again (gateway/fail-over.ts).
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { Principal } from '../domain/limit.ts';
import type { ParsedRequest } from '../openai/request.ts';
import type { Target } from './target.ts';

/** An upstream as calls may take it. */
export interface Lane<Deps> {
  readonly target: Target;
  /** Everything that a call through it is wired with. */
  readonly deps: Deps;
  /** Larger ones get more calls; 0: only those that no other takes. */
  readonly weight: number;
  /** Whether it has the operations of `/responses`. */
  readonly hasResponses: boolean;
  /** By the client's name of the model. */
  serves(model: string): boolean;
  servesTeam(principal: Principal): boolean;
  /** What one token of input and one of output cost, in pico-USD; null: there is no price. */
  priceOf(model: string): number | null;
  /** Whether the breaker would let a call of a team through now. */
  wouldTake(teamId: TeamId): boolean;
}

/** How calls are spread. */
export interface Routing {
  by: 'weight' | 'price';
  /** How often a call may be sent, the first time included. */
  attempts: number;
}

/** What is much slower than the fastest gets no new calls while that one is healthy. */
const SLOW_TIMES = 3;
const SLOW_MORE_MS = 1_000;

/** What a call asks of the upstreams. */
export type Choice<Deps> = Pick<Upstreams<Deps>, 'all' | 'find' | 'of' | 'hasPrice' | 'choose' | 'hasOthers'>;

export class Upstreams<Deps> {
  #lanes: readonly Lane<Deps>[] = [];
  #routing: Routing = { by: 'weight', attempts: 1 };
  readonly #monotonicMs: () => number;
  readonly #random: () => number;

  /** @param random returns a number in [0, 1) */
  constructor(monotonicMs: () => number, random: () => number = Math.random) {
    this.#monotonicMs = monotonicMs;
    this.#random = random;
  }

  /** Calls from now on take these; those under way stay where they are. */
  replace(lanes: readonly Lane<Deps>[], routing: Routing): void {
    this.#lanes = lanes;
    this.#routing = routing;
  }

  /** All of them, in the order of the configuration. */
  get all(): readonly Lane<Deps>[] {
    return this.#lanes;
  }

  /** Returns the upstream of a name; null: there is none now. */
  find(name: string): Lane<Deps> | null {
    return this.#lanes.find(({ target }) => target.name === name) ?? null;
  }

  /** Those that may serve anything of a team's, in their order. */
  of(principal: Principal): Lane<Deps>[] {
    return this.#lanes.filter((lane) => lane.servesTeam(principal));
  }

  /** Whether a model has a price at an upstream that serves it. */
  hasPrice(model: string, principal: Principal): boolean {
    return this.of(principal).some((lane) => lane.serves(model) && lane.priceOf(model) !== null);
  }

  /** Returns what a call goes on with, or why no upstream takes it. @param tried names of those that failed */
  choose(request: ParsedRequest, principal: Principal, tried: readonly string[]): Deps | ApiError {
    const { model, billable } = request.operation;
    // Files, lists and the like live at the first one.
    if (model === null) return this.of(principal)[0]?.deps ?? noUpstream(null);
    const able = this.#able(request, principal).filter(({ target }) => !tried.includes(target.name));
    const [first] = able;
    if (first === undefined) return noUpstream(model);
    const priced = billable ? able.filter((lane) => lane.priceOf(model) !== null) : able;
    const chosen =
      able.length === 1 ? first : this.#pick(priced.length === 0 ? able : priced, model, principal);
    chosen.target.health.chosen(this.#monotonicMs());
    return chosen.deps;
  }

  /** Whether another upstream may try a call that this one fails at no cost. @param attempt from 1 */
  hasOthers(request: ParsedRequest, principal: Principal, { name }: Target, attempt: number): boolean {
    const { model, beyondText } = request.operation;
    if (model === null || attempt >= this.#routing.attempts) return false;
    // What it names is kept by one upstream alone.
    const isKept = request.objects !== null || (beyondText?.references ?? null) !== null;
    if (isKept || model.startsWith('ft:')) return false;
    // Its body is sent on as it comes, and gone.
    if (request.descriptor.request === 'multipart') return false;
    return this.#able(request, principal).some(({ target }) => target.name !== name);
  }

  #able({ descriptor, operation: { model } }: ParsedRequest, principal: Principal): Lane<Deps>[] {
    const isResponse = descriptor.path.startsWith('/responses');
    // A form is sent on as it comes, so that no name in it can be changed.
    const isForm = descriptor.request === 'multipart';
    return this.of(principal).filter(
      (lane) =>
        lane.serves(model ?? '') &&
        (lane.hasResponses || !isResponse) &&
        !(isForm && lane.target.modelNames.has(model ?? '')),
    );
  }

  #pick(able: Lane<Deps>[], model: string, { teamId }: Principal): Lane<Deps> {
    const nowMs = this.#monotonicMs();
    const healthy = able.filter((lane) => lane.target.health.mayTake(nowMs) && lane.wouldTake(teamId));
    let left = quickOnes(healthy.length === 0 ? able : healthy, nowMs);
    if (this.#routing.by === 'price') left = cheapest(left, model);
    const wanted = left.filter(({ weight }) => weight > 0);
    if (wanted.length > 0) left = wanted;
    let at = this.#random() * left.reduce((sum, { weight }) => sum + Math.max(weight, 1), 0);
    for (const lane of left) {
      at -= Math.max(lane.weight, 1);
      if (at < 0) return lane;
    }
    return left.at(-1) as Lane<Deps>;
  }
}

function quickOnes<Deps>(lanes: Lane<Deps>[], nowMs: number): Lane<Deps>[] {
  const expected = lanes.map(({ target }) => target.health.expectedMs(nowMs));
  const best = Math.min(...expected.map((ms) => ms ?? Number.POSITIVE_INFINITY));
  return lanes.filter((_, at) => (expected[at] ?? 0) <= best * SLOW_TIMES + SLOW_MORE_MS);
}

function cheapest<Deps>(lanes: Lane<Deps>[], model: string): Lane<Deps>[] {
  const prices = lanes.map((lane) => lane.priceOf(model) ?? Number.POSITIVE_INFINITY);
  const least = Math.min(...prices);
  return lanes.filter((_, at) => prices[at] === least);
}

function noUpstream(model: string | null): ApiError {
  const what = model === null ? 'this operation' : `the model '${model.slice(0, 100)}'`;
  const param = model === null ? undefined : 'model';
  return apiError('not_found', `No upstream serves ${what} for this team.`, { param });
}
