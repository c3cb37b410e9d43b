/**
 * Sessions on WebSockets. Owns: which requests become one, how many there are, how long they last, and their end when the gateway
 * stops. Does not own: what is said on them (responses.ts), money (the stages: each message that costs some is a call).
 * Invariant: nothing is read from a client before its key is known.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Account } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import type { KeyId } from '../../domain/ids.ts';
import { uuidV7 } from '../../ledger/events.ts';
import type { SocketKind } from '../../openai/operations/descriptor.ts';
import type { Route } from '../../openai/operations/paths.ts';
import { findRoute } from '../../openai/request.ts';
import { nodeExchange } from '../../wire/node-exchange.ts';
import { Call, type Stopped, stopped, writeError } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import { shuttingDown } from '../ending-error.ts';
import { authenticate, findAccount } from '../stages/authenticate.ts';
import { recordStopped } from '../stages/record.ts';
import { ClientLine, type LineEnd } from './client-line.ts';
import { errorEventOf } from './message-exchange.ts';
import { openRealtime } from './realtime.ts';
import { openResponses } from './responses.ts';
import type { OpenSession, Session, SessionHost } from './session.ts';
import { hasSockets } from './session-deps.ts';
import { openTranslation } from './translation.ts';

const SESSIONS: Readonly<Record<SocketKind, OpenSession>> = {
  responses: openResponses,
  realtime: openRealtime,
  translation: openTranslation,
};

const SWEEP_MS_MAX = 1000;
/** How long a client may take to close its side. */
const CLOSE_TIMEOUT_MS = 5_000;

const IDLE: LineEnd = { code: 1001, reason: 'idle for too long', last: null };
const RESTART: LineEnd = { code: 1012, reason: 'this gateway is stopping', last: null };
const KEY_ENDED: LineEnd = { code: 1008, reason: 'the key may not be used any more', last: null };

interface Open {
  readonly line: ClientLine;
  readonly session: Session;
  readonly call: Call;
  isFinished: boolean;
}

export class Lines {
  readonly #deps: GatewayDeps;
  readonly #host: SessionHost;
  readonly #server: WebSocketServer;
  readonly #open = new Set<Open>();
  readonly #ofKey = new Map<KeyId, number>();
  #generation: number;
  #isDraining = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(deps: GatewayDeps, host: SessionHost) {
    this.#deps = deps;
    this.#host = host;
    this.#generation = deps.keys.generation;
    // Not written out in the call: its types do not know all of them.
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      // One message of a client in a turn of the event loop: many small ones at once would keep the other clients waiting.
      allowSynchronousEvents: false,
      maxPayload: deps.maxBodyBytes,
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    this.#server = new WebSocketServer(options);
    this.#server.on('headers', (headers) => {
      headers.push(`x-tollgate-request-id: ${uuidV7(deps.clock.nowMs())}`);
    });
  }

  /** How many sessions are open. */
  get open(): number {
    return this.#open.size;
  }

  /** Whether a target is that of a session. */
  takes(url: string): boolean {
    return (findRoute('WEBSOCKET', url)?.descriptor.socket ?? null) !== null;
  }

  /** Takes a request to become a session, whose socket Node's server has given up. It gets a response otherwise. */
  connect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // Until it is a WebSocket; then that listens.
    socket.on('error', ignored);
    const response = new ServerResponse(request);
    const call = new Call(nodeExchange(request, response), () => {});
    this.#admit(call)
      .then((admitted) => {
        if (socket.destroyed) return;
        if (admitted.kind === 'stopped') this.#refuse(admitted, response, socket);
        else this.#accept(admitted, request, socket, head);
      })
      .catch((error: unknown) => {
        this.#deps.log.logger.error({ err: error }, 'a session could not be opened on an error of ours');
        socket.destroy();
      });
  }

  /** Sessions end, each with what is under way in it; no others begin. */
  drain(): void {
    this.#isDraining = true;
    for (const open of this.#open) this.#finish(open, RESTART);
  }

  async #admit(call: Call): Promise<Admitted | Stopped> {
    const route = findRoute('WEBSOCKET', call.exchange.url);
    if (route === null) throw new Error(`no session is at ${call.exchange.url}`);
    const authenticated = await authenticate(this.#deps, { kind: 'routed', call, route });
    if (authenticated.kind === 'stopped') return authenticated;
    const { account } = authenticated;
    const error = this.#whyNot(account);
    if (error !== null) return stopped(call, error, route.descriptor.name, account, null);
    return { kind: 'admitted', call, route, account };
  }

  #whyNot({ principal }: Account): ApiError | null {
    if (this.#isDraining) return shuttingDown();
    if (!hasSockets(this.#deps, principal)) return noSockets();
    const { perKey } = this.#deps.sessions;
    if ((this.#ofKey.get(principal.keyId) ?? 0) < perKey) return null;
    const message = `This key has ${perKey} connections open, the most that it may have (TOLLGATE_SESSIONS_PER_KEY).`;
    return apiError('rate_limit_exceeded', message, { retryAfterMs: 5000 });
  }

  #refuse(stop: Stopped, response: ServerResponse, socket: Socket): void {
    const { call, error } = stop;
    response.assignSocket(socket);
    response.once('finish', () => socket.destroySoon());
    call.exchange.closeAfter();
    if (error !== null) writeError(call, error, uuidV7(this.#deps.clock.nowMs()));
    recordStopped(this.#deps, stop);
  }

  #accept({ call, route, account }: Admitted, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { socket: kind } = route.descriptor;
    if (kind === null) throw new Error(`${route.descriptor.name} has no session`);
    this.#server.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      socket.off('error', ignored);
      const { url, rawHeaders, remoteAddress } = call.exchange;
      const line = new ClientLine(webSocket, socket, {
        head: { url, rawHeaders, remoteAddress },
        account,
        bodies: this.#deps.bodies,
        errorEvent: errorEventOf,
      });
      const open: Open = { line, call, session: SESSIONS[kind](line, this.#host), isFinished: false };
      this.#add(open);
      webSocket.once('close', () => this.#remove(open));
      line.attach(open.session);
    });
  }

  #add(open: Open): void {
    this.#open.add(open);
    const { keyId } = open.line.account.principal;
    this.#ofKey.set(keyId, (this.#ofKey.get(keyId) ?? 0) + 1);
    if (this.#timer !== null) return;
    const { idleMs, maxMs } = this.#deps.sessions;
    this.#timer = setInterval(() => this.#sweep(), Math.min(SWEEP_MS_MAX, idleMs / 4, maxMs / 4));
    this.#timer.unref();
  }

  #remove(open: Open): void {
    this.#open.delete(open);
    const { keyId } = open.line.account.principal;
    const left = (this.#ofKey.get(keyId) ?? 1) - 1;
    if (left > 0) this.#ofKey.set(keyId, left);
    else this.#ofKey.delete(keyId);
    if (this.#open.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = performance.now();
    const { idleMs, maxMs } = this.#deps.sessions;
    const { generation } = this.#deps.keys;
    const isChanged = generation !== this.#generation;
    this.#generation = generation;
    for (const open of this.#open) {
      const { line, session } = open;
      session.sweep(nowMs);
      line.keepAlive(nowMs);
      if (session.isBusy) line.lastMs = nowMs;
      if (nowMs - line.lastMs >= idleMs) this.#finish(open, IDLE);
      else if (nowMs - line.startedMs >= maxMs) this.#finish(open, tooOld(maxMs));
      if (isChanged) void this.#askAgain(open);
    }
  }

  /** A key that was revoked, or has expired, keeps no session open. */
  async #askAgain(open: Open): Promise<void> {
    const found = await findAccount(this.#deps, open.call);
    if (found instanceof ApiError && found.code === 'invalid_api_key') this.#finish(open, KEY_ENDED);
  }

  #finish(open: Open, end: LineEnd): void {
    if (open.isFinished) return;
    open.isFinished = true;
    open.session.finish(end);
  }
}

interface Admitted {
  readonly kind: 'admitted';
  readonly call: Call;
  readonly route: Route;
  readonly account: Account;
}

function ignored(): void {}

/** As the API says it, after which its clients open another connection. */
function tooOld(maxMs: number): LineEnd {
  const message = `This connection is as old as one may become (${Math.round(maxMs / 1000)} s): open another one.`;
  return {
    code: 1000,
    reason: 'open for too long',
    last: errorEventOf(apiError('websocket_connection_limit_reached', message)),
  };
}

/** RFC 9110, section 15.5.22: the response says which protocol is wanted. */
function noSockets(): ApiError {
  const message =
    'The upstream serves no WebSockets here: use the same API over plain HTTP, with server-sent events. Codex does so by itself, or at once ' +
    'with `supports_websockets = false` in its provider; the official SDKs with `responses.create({ stream: true })`.';
  return apiError('upgrade_required', message, { headers: { upgrade: 'HTTP/1.1' } });
}
