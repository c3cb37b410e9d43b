/** One seed of the simulation, from its first call to the last replay of its journals. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Chaos } from './chaos.ts';
import type { Fault } from './faults/fault.ts';
import { Healthy } from './faults/fault.ts';
import { RuleBroken, type RuleName } from './judge/expectations.ts';
import { checkRest } from './judge/rest.ts';

export const STEPS = 400;

export interface Failure {
  rule: RuleName;
  message: string;
  /** The step in which it was noticed; null: when all had come to rest. */
  step: number | null;
  stack: string;
}

export interface SeedResult {
  seed: number;
  failure: Failure | null;
  /** How often the planted fault fired. */
  fired: number;
  /** Everything that was counted: the same for the same seed. */
  figures: Record<string, number>;
}

export interface SimulateOptions {
  seed: number;
  steps?: number;
  fault?: Fault | null;
}

/** Runs one seed. Never rejects: whatever goes wrong is the failure of the seed. */
export async function simulate({ seed, steps = STEPS, fault = null }: SimulateOptions): Promise<SeedResult> {
  const folder = mkdtempSync(join(fastFolder(), 'tollgate-simulation-'));
  const planted = fault?.plant() ?? new Healthy();
  const chaos = new Chaos({ seed, folder, fault: planted });
  let step: number | null = 0;
  let failure: Failure | null = null;
  try {
    for (; step < steps; step++) await chaos.step();
    step = null;
    await chaos.calm();
    await checkRest(chaos);
    await chaos.stop();
    await chaos.replayAll();
  } catch (error) {
    failure = failureOf(error, step);
  } finally {
    planted.remove();
    rmSync(folder, { recursive: true, force: true });
  }
  const { denied, ...calls } = chaos.calls.figures;
  const seconds = Math.round(chaos.time.monotonicMs() / 1000);
  return { seed, failure, fired: planted.fired, figures: { ...calls, ...denied, ...chaos.figures, seconds } };
}

function failureOf(error: unknown, step: number | null): Failure {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { rule: error instanceof RuleBroken ? error.rule : 'crash', message, step, stack };
}

/** Journals are real files; in memory they cost a tenth. */
function fastFolder(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}
