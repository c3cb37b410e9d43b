/**
 * The channel between the supervisor and a worker: notices, and questions with a time limit, because the other side may hang.
 * Both sides are of the same version, so what comes in is what the types say.
 */
import type { InputCount } from '../domain/input-count.ts';
import type { Connection } from '../store/database.ts';
import type { Family } from '../telemetry/exposition.ts';

/** What the supervisor lets a worker know and asks it. */
export interface ToWorker {
  notices: {
    /** The first message: what this worker is. */
    start: Assignment;
    pids: readonly number[];
    /** What another worker was counted at. */
    counts: readonly InputCount[];
    stop: string;
    hurry: string;
  };
  questions: { metrics: Family[]; ready: boolean; adopt: null };
}

/** What a worker lets the supervisor know and asks it. */
export interface ToSupervisor {
  notices: {
    /** It listens. */
    ready: { url: string; instanceId: string };
    /** What it had counted when it ended in good order. */
    ended: Family[];
    /** What this worker was counted at, for the others. */
    counts: readonly InputCount[];
  };
  questions: { page: string; ready: boolean };
}

export interface Assignment {
  /** Counted from 1. */
  number: number;
  workers: number;
  supervisorPid: number;
  /** How the embedded database is reached; null: the configuration says. */
  connection: Connection | null;
  connectionsMax: number;
}

interface Traffic {
  notices: object;
  questions: object;
}

type Message<T extends Traffic> =
  | { notice: keyof T['notices']; value: T['notices'][keyof T['notices']] }
  | { question: keyof T['questions']; id: number }
  | { answer: unknown; id: number };

export interface Handlers<In extends Traffic> {
  notices: { [Name in keyof In['notices']]: (value: In['notices'][Name]) => void };
  questions: {
    [Name in keyof In['questions']]: () => In['questions'][Name] | Promise<In['questions'][Name]>;
  };
}

export class Channel<In extends Traffic, Out extends Traffic> {
  readonly #send: (message: Message<Out>) => void;
  readonly #handlers: Handlers<In>;
  readonly #waiting = new Map<number, (answer: unknown) => void>();
  #lastId = 0;

  /** @param send must not throw, also when the other side is gone */
  constructor(send: (message: object) => void, handlers: Handlers<In>) {
    this.#send = send;
    this.#handlers = handlers;
  }

  tell<Name extends keyof Out['notices']>(notice: Name, value: Out['notices'][Name]): void {
    this.#send({ notice, value });
  }

  /** Returns the answer; null: none came in time. */
  ask<Name extends keyof Out['questions']>(
    question: Name,
    timeoutMs: number,
  ): Promise<Out['questions'][Name] | null> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const finish = (answer: unknown) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer as Out['questions'][Name] | null);
      };
      const timer = setTimeout(() => finish(null), timeoutMs);
      this.#waiting.set(id, finish);
      this.#send({ question, id });
    });
  }

  /** To be called with every message of the other side. */
  receive(message: object): void {
    const received = message as Message<In>;
    if ('notice' in received) this.#handlers.notices[received.notice](received.value);
    else if ('answer' in received) this.#waiting.get(received.id)?.(received.answer);
    else void this.#answer(received);
  }

  /** Ends the wait for all replies. */
  close(): void {
    for (const finish of [...this.#waiting.values()]) finish(null);
  }

  async #answer({ question, id }: { question: keyof In['questions']; id: number }): Promise<void> {
    // A request that fails gets null, as one without a reply.
    const answer = await Promise.resolve()
      .then(() => this.#handlers.questions[question]())
      .catch(() => null);
    this.#send({ answer, id });
  }
}
