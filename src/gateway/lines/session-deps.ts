/**
 * What the calls of a session are wired with: all that other calls have, with the session's own connection as the upstream. Owns: that
 * a session stays with the upstream of its first call, where there are several.
 */
import { ApiError, apiError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/limit.ts';
import type { ParsedRequest } from '../../openai/request.ts';
import type { Choice, Lane } from '../../upstreams/routing.ts';
import type { Target } from '../../upstreams/target.ts';
import type { Upstream } from '../../wire/upstream.ts';
import type { GatewayDeps } from '../deps.ts';
import type { UpstreamSockets } from './upstream-line.ts';

/** The connection of a session, as its calls need it. */
export interface SessionConnection {
  /** Name of the upstream that it is open to, or being opened; null: to none. */
  readonly boundTo: string | null;
  /** Returns what sends calls to the upstream of that name (null: the only one); it opens the connection with its first call. */
  upstreamOf(name: string | null, sockets: UpstreamSockets): Upstream;
}

/** Returns the wiring of a session's calls. */
export function sessionDeps(deps: GatewayDeps, connection: SessionConnection): GatewayDeps {
  if (deps.upstreams !== null) return { ...deps, upstreams: new OwnChoice(deps.upstreams, connection) };
  const { sockets } = deps;
  return { ...deps, upstream: sockets === null ? null : connection.upstreamOf(null, sockets) };
}

/** Whether a principal has an upstream with WebSockets. */
export function hasSockets({ sockets, upstreams }: GatewayDeps, principal: Principal): boolean {
  if (upstreams === null) return sockets !== null;
  return upstreams.of(principal).some((lane) => lane.deps.sockets !== null);
}

class OwnChoice implements Choice<GatewayDeps> {
  readonly #all: Choice<GatewayDeps>;
  readonly #connection: SessionConnection;
  /** By the upstream's own. */
  readonly #deps = new WeakMap<GatewayDeps, GatewayDeps>();

  constructor(all: Choice<GatewayDeps>, connection: SessionConnection) {
    this.#all = all;
    this.#connection = connection;
  }

  get all(): readonly Lane<GatewayDeps>[] {
    return this.#own(this.#all.all);
  }

  find(name: string): Lane<GatewayDeps> | null {
    return this.all.find(({ target }) => target.name === name) ?? null;
  }

  of(principal: Principal): Lane<GatewayDeps>[] {
    return this.#own(this.#all.of(principal));
  }

  hasPrice(model: string, principal: Principal): boolean {
    return this.#all.hasPrice(model, principal);
  }

  choose(request: ParsedRequest, principal: Principal, tried: readonly string[]): GatewayDeps | ApiError {
    const { boundTo } = this.#connection;
    if (boundTo !== null) {
      const lane = this.of(principal).find(({ target }) => target.name === boundTo);
      if (lane?.serves(request.operation.model ?? '') && !tried.includes(boundTo)) return lane.deps;
      const message = `This connection is open to the upstream '${boundTo}', which does not serve the model to this team: open another connection.`;
      return apiError('not_found', message, { param: 'model' });
    }
    const without = this.#all.all
      .filter(({ deps }) => deps.sockets === null)
      .map(({ target }) => target.name);
    const chosen = this.#all.choose(request, principal, [...tried, ...without]);
    return chosen instanceof ApiError ? chosen : this.#ownDeps(chosen);
  }

  hasOthers(request: ParsedRequest, principal: Principal, target: Target, attempt: number): boolean {
    return this.#connection.boundTo === null && this.#all.hasOthers(request, principal, target, attempt);
  }

  /** Those that the session may take. */
  #own(lanes: readonly Lane<GatewayDeps>[]): Lane<GatewayDeps>[] {
    const { boundTo } = this.#connection;
    return lanes
      .filter(({ deps, target }) => deps.sockets !== null && (boundTo ?? target.name) === target.name)
      .map((lane) => ({ ...lane, deps: this.#ownDeps(lane.deps) }));
  }

  #ownDeps(deps: GatewayDeps): GatewayDeps {
    const known = this.#deps.get(deps);
    if (known !== undefined) return known;
    const { sockets, target } = deps;
    const upstream =
      sockets === null || target === null ? null : this.#connection.upstreamOf(target.name, sockets);
    const own = { ...deps, upstreams: this, upstream };
    this.#deps.set(deps, own);
    return own;
  }
}
