/** Probes whether a `compatible` upstream keeps output limits: at the start, daily, and soon after a model's first call. */
import type { KnownLimit, LimitTrust, ProbeResult } from '../upstreams/trust.ts';
import { type Job, startJob } from './every.ts';

export interface ProbingOptions {
  trust: LimitTrust;
  /** What nearly all calls are: it is probed at the start. */
  operation: string;
  /** Names of the models that the upstream has. */
  listModels(): Promise<string[]>;
  /** Whether calls to a model may be sent there: it is served, and has a price. Others are never probed: each probe costs something. */
  isCalled(model: string): boolean;
  /** Null: there is no such operation. */
  probe(operation: string, model: string, signal: AbortSignal): Promise<ProbeResult> | null;
  /** Milliseconds since the epoch. */
  nowMs(): number;
  onLearned(known: Pick<KnownLimit, 'operation' | 'model' | 'state' | 'reason'>): void;
  onError(error: unknown): void;
}

const EVERY_MS = 1_000;
/** A server with more models than this has its further ones probed at their first calls: each may have to be loaded. */
const MODELS_AT_START_MOST = 8;

export function startProbing(options: ProbingOptions): Job {
  const { trust, probe, nowMs, onLearned, onError } = options;
  let isFirst = true;
  return startJob({
    firstAfterMs: 0,
    intervalMs: EVERY_MS,
    run: async (signal) => {
      if (isFirst) await expectModels(options);
      isFirst = false;
      // One after the other: a small machine has one model at a time.
      for (const { operation, model } of trust.due()) {
        if (signal.aborted) return;
        const startedMs = nowMs();
        const result = await probe(operation, model, signal);
        if (signal.aborted || result === null) return;
        trust.learn(operation, model, result, startedMs);
        onLearned({ operation, model, state: result.state, reason: result.reason });
      }
    },
    onError,
  });
}

/** Other operations are probed at their first call. */
async function expectModels({ trust, operation, listModels, isCalled }: ProbingOptions): Promise<void> {
  const models = (await listModels()).filter(isCalled);
  for (const model of models.slice(0, MODELS_AT_START_MOST)) trust.keeps(operation, model);
}
