/** Errors of a realtime session, as its client gets them: events, as the API writes them in sessions. */
import type { ApiError } from '../../domain/errors.ts';
import { uuidV7 } from '../../ledger/events.ts';
import { isObject, type Json, type JsonObject } from '../../openai/body.ts';
import { errorObject } from '../../openai/wire/errors.ts';
import type { ClientLine, LineEnd } from './client-line.ts';
import type { SessionHost } from './session.ts';

/** How a session ends whose money has. */
const NO_MONEY: LineEnd = { code: 1008, reason: 'insufficient_quota', last: null };

export class RealtimeClient {
  readonly #line: ClientLine;
  readonly #host: SessionHost;

  constructor(line: ClientLine, host: SessionHost) {
    this.#line = line;
    this.#host = host;
  }

  /** An id for an event of ours. */
  newId(): string {
    return `event_${uuidV7(this.#host.deps.clock.nowMs())}`;
  }

  /** @param eventId of the client's event that is refused. Returns how the session ends; null: it goes on. */
  refuse(error: ApiError, eventId: Json | undefined): LineEnd | null {
    this.#host.count(error, this.#line.account);
    return this.passError({ type: 'error', error: errorObject(error) }, eventId);
  }

  /** The same of an error that was counted before. */
  passError({ error, ...event }: JsonObject, eventId: Json | undefined): LineEnd | null {
    const found = isObject(error) ? error : {};
    const shown = { ...event, event_id: this.newId(), error: { ...found, event_id: eventId ?? null } };
    this.#line.send(Buffer.from(JSON.stringify(shown)));
    return found.code === 'insufficient_quota' ? NO_MONEY : null;
  }
}
