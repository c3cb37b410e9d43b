/**
 * The crowd: many clients at once, each with one call after another, spread over the replicas as a load balancer would,
 * until the budget is spent. Owns: who calls what and when, and what every one of them was told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PicoUsd } from '../../src/domain/money.ts';
import { planCall, smallestCall } from './calls.ts';
import { type Answer, Doors, type Ending } from './clients.ts';
import type { Replica } from './replica.ts';

export interface Denial {
  /** Milliseconds since the epoch at which the client had read it. */
  atMs: number;
  needed: PicoUsd;
}

export interface CrowdOptions {
  replicas: Replica[];
  key: string;
  clients: number;
  seed: number;
  /** Nobody calls any more after so long. */
  patienceMs: number;
  /** Tags in turn of each client's calls; missing: none. A client leaves when the smallest call was refused under each of them. */
  tags?: readonly string[];
}

/** Between a call that found nobody and the next. */
const PAUSE_MS = 200;

export class Crowd {
  readonly #options: CrowdOptions;
  readonly #doors: Map<Replica, Doors>;
  #deadlineMs: number;
  readonly counts: Record<Ending, number> = {
    answered: 0,
    quota: 0,
    held: 0,
    unavailable: 0,
    broken: 0,
    odd: 0,
  };
  /** Every `insufficient_quota` that was spoken. */
  readonly denials: Denial[] = [];
  readonly oddities: string[] = [];
  /** Resolves when everybody was told that the budget is spent, or has lost patience. */
  readonly ended: Promise<unknown>;
  /** Clients that still want something. */
  busy: number;

  constructor(options: CrowdOptions) {
    this.#options = options;
    this.#doors = new Map(options.replicas.map((replica) => [replica, new Doors(replica.url, options.key)]));
    this.#deadlineMs = performance.now() + options.patienceMs;
    this.busy = options.clients;
    this.ended = Promise.all(Array.from({ length: options.clients }, (_, client) => this.#live(client)));
  }

  /** Nobody begins another call. */
  end(): void {
    this.#deadlineMs = performance.now();
  }

  /** Refused for good, a client tries the smallest call there is; once that is refused too, nothing is left for it. */
  async #live(client: number): Promise<void> {
    const { seed, tags = [] } = this.#options;
    let small = false;
    let refused = 0;
    for (let turn = 0; performance.now() < this.#deadlineMs; turn++) {
      const doors = this.#choose(client, turn);
      if (doors === null) {
        await delay(PAUSE_MS);
        continue;
      }
      const call = small ? smallestCall(client) : planCall(seed, client, turn);
      const tag = tags[(client + turn) % tags.length];
      const answer = await doors.make(tag === undefined ? call : { ...call, tags: tag });
      this.#note(answer);
      if (answer.ending === 'quota') {
        if (small && ++refused >= Math.max(1, tags.length)) break;
        small = true;
        continue;
      }
      refused = 0;
      if (answer.ending !== 'answered') await delay(Math.max(PAUSE_MS, answer.retryAfterMs));
    }
    this.busy--;
  }

  #choose(client: number, turn: number): Doors | null {
    const up = this.#options.replicas.filter((replica) => replica.up);
    return up.length === 0 ? null : this.#doors.get(up[(client + turn) % up.length]!)!;
  }

  #note({ ending, needed, text }: Answer): void {
    this.counts[ending]++;
    if (ending === 'quota') this.denials.push({ atMs: Date.now(), needed });
    if (ending === 'odd') this.oddities.push(text);
  }
}
