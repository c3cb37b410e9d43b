/**
 * Who changes: the actor of every change that is made meanwhile, for the audit log. Set once, where a request was
 * authenticated, and read once, where the transaction begins (catalog-version): handed from function to function
 * between the two, it would be forgotten by the next noun.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

const actors = new AsyncLocalStorage<string>();

/** Runs `work` in the name of an actor. */
export function withActor<Result>(actor: string, work: () => Result): Result {
  return actors.run(actor, work);
}

/** In whose name this runs; outside of any request that is Tollgate itself. */
export function currentActor(): string {
  return actors.getStore() ?? 'tollgate';
}
