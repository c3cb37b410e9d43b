/**
 * What waits in a realtime session, in order. Owns: the memory that the client's events take meanwhile. An event that goes on at once
 * takes none.
 */
import type { Principal } from '../../domain/limit.ts';
import type { JsonObject } from '../../openai/body.ts';
import type { Bodies } from '../bodies.ts';

/** An event of the client; the response to a turn; a transcription that was not held in time. */
export type Task =
  | { readonly kind: 'event'; readonly event: JsonObject; readonly bytes: number }
  | { readonly kind: 'turn' }
  | { readonly kind: 'late'; readonly itemId: string; readonly seconds: number };

/** Events of one session that wait for a hold or for the upstream. */
const BYTES_MAX = 32 * 1024 * 1024;

export class TaskQueue {
  readonly #bodies: Bodies;
  readonly #principal: Principal;
  readonly #tasks: Task[] = [];
  #bytes = 0;
  /** Of those bytes, what memory was taken for. */
  #takenBytes = 0;

  constructor(bodies: Bodies, principal: Principal) {
    this.#bodies = bodies;
    this.#principal = principal;
  }

  get first(): Task | undefined {
    return this.#tasks[0];
  }

  push(task: Task): void {
    this.#tasks.push(task);
    if (task.kind === 'event') this.#bytes += task.bytes;
  }

  /** Puts a task before all others. */
  unshift(task: Task): void {
    this.#tasks.unshift(task);
  }

  /** Puts what is left of an event in its place. */
  keepOf(task: Task & { kind: 'event' }, event: JsonObject): void {
    const at = this.#tasks.indexOf(task);
    if (at !== -1) this.#tasks[at] = { ...task, event };
  }

  drop(task: Task): void {
    const at = this.#tasks.indexOf(task);
    if (at === -1) return;
    this.#tasks.splice(at, 1);
    if (task.kind === 'event') this.#bytes -= task.bytes;
    if (this.#bytes === 0) this.#giveBack();
  }

  clear(): void {
    this.#tasks.length = 0;
    this.#bytes = 0;
    this.#giveBack();
  }

  /** Takes memory for what waits. Returns false where there is none. */
  keep(): boolean {
    const more = this.#bytes - this.#takenBytes;
    if (more <= 0) return true;
    const { teamId, keyId } = this.#principal;
    if (this.#bytes > BYTES_MAX || this.#bodies.take(teamId, keyId, more) !== null) return false;
    this.#takenBytes += more;
    return true;
  }

  #giveBack(): void {
    if (this.#takenBytes === 0) return;
    const { teamId, keyId } = this.#principal;
    this.#bodies.giveBack(teamId, keyId, this.#takenBytes);
    this.#takenBytes = 0;
  }
}
