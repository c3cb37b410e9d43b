/** One call on its way through the stages: what each stage found, and how long it took. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Account, CallKind } from '../domain/budget.ts';
import type { Estimate } from '../domain/estimate.ts';
import type { RateCard } from '../domain/price.ts';
import type { Hold } from '../ledger/holds.ts';
import type { Route } from '../openai/operations.ts';
import type { ParsedRequest } from '../openai/request.ts';
import type { Stage, StageDurationsUs } from '../telemetry/measurement.ts';

export class Call {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly stageUs: StageDurationsUs = {};
  route: Route | null = null;
  account: Account | null = null;
  /** The generation of keys in which the account was found: a later one may know another. */
  accountGeneration = -1;
  request: ParsedRequest | null = null;
  card: RateCard | null = null;
  estimate: Estimate | null = null;
  hold: Hold | null = null;
  /** Whom the application calls for: by the request or the header; null: it does not say. */
  endUser: string | null = null;
  /** The output limit written into the request; null: none was. */
  outputLimit: number | null = null;
  /** Its money was not in a lease here: it waits, or has waited, for it. */
  waited = false;
  clientGone = false;
  onClientGone: (() => void) | null = null;
  /** The gateway stops, and will not wait for this call any longer. */
  isCut = false;
  /** How the stage at work ends the call in its own words; null: it has nothing to say. */
  onCut: (() => void) | null = null;
  #stageStartedMs = performance.now();

  constructor(incoming: IncomingMessage, response: ServerResponse) {
    this.incoming = incoming;
    this.response = response;
    response.on('close', () => {
      if (response.writableFinished) return;
      this.clientGone = true;
      this.onClientGone?.();
    });
  }

  /** What decides which limits touch it. */
  get kind(): CallKind {
    return { model: this.request!.operation.model ?? '', endUser: this.endUser };
  }

  /** Ends the call now, wherever it is. */
  cut(): void {
    this.isCut = true;
    if (this.onCut) this.onCut();
    else this.response.destroy();
  }

  /** The stage ends here; the next one begins. */
  ended(stage: Stage): void {
    const now = performance.now();
    this.stageUs[stage] = (this.stageUs[stage] ?? 0) + Math.round((now - this.#stageStartedMs) * 1000);
    this.#stageStartedMs = now;
  }
}
