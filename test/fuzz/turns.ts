/**
 * The judge of long turns. CPU time alone does not tell: a gateway that waited for a processor finds what came meanwhile, and
 * serves all of it in one turn. So a turn that was too long is one where a request of that time takes as long again when it
 * is sent alone, whenever it is; or one that had the processor throughout, so that there was nothing to make up for.
 */
import { readFileSync, rmSync } from 'node:fs';
import { type GatewayProcess, until } from '../e2e/crash-gateway.ts';

/** CPU that a turn may take beyond the longest of honest calls, whose size is that of the largest here. */
export const TURN_MS_MAX = 20;
/** A request that takes as long so often, alone, does so by itself. */
const TRIES = 5;
/** Turns that are looked into. */
const TURNS_MOST = 20;
/** A turn that took so much longer than its CPU waited for a processor. */
const WAITED_MS = 10;

/** A turn of the event loop of more than a few milliseconds. Moments are on the machine's clock. */
export interface Turn {
  cpuMs: number;
  beganMs: number;
  endedMs: number;
}

/** The turns of a gateway's event loop (turns.mjs). */
export class Turns {
  readonly #gateway: GatewayProcess;
  readonly #file: string;

  constructor(gateway: GatewayProcess, file: string) {
    this.#gateway = gateway;
    this.#file = file;
  }

  /** Returns the turns since the question before, the longest first. */
  async read(): Promise<Turn[]> {
    rmSync(this.#file, { force: true });
    this.#gateway.signal('SIGUSR2');
    let text = '';
    await until('the measured turns', () => {
      try {
        text = readFileSync(this.#file, 'utf8');
      } catch {
        return false;
      }
      return text !== '';
    });
    return (JSON.parse(text) as Turn[]).sort((one, other) => other.cpuMs - one.cpuMs);
  }

  async longestMs(): Promise<number> {
    return (await this.read())[0]?.cpuMs ?? 0;
  }
}

/** When each request was under way. */
export class Timeline {
  readonly #seeds: number[] = [];
  readonly #beganMs: number[] = [];
  readonly #endedMs: number[] = [];

  add(seed: number, beganMs: number, endedMs: number): void {
    this.#seeds.push(seed);
    this.#beganMs.push(beganMs);
    this.#endedMs.push(endedMs);
  }

  /** Returns the seeds of the requests under way in a turn. */
  within({ beganMs, endedMs }: Turn): number[] {
    return this.#seeds.filter(
      (_, at) => (this.#beganMs[at] ?? 0) <= endedMs && (this.#endedMs[at] ?? 0) >= beganMs,
    );
  }
}

export interface Judged {
  failures: string[];
  /**
   * Turns above what is allowed that had the processor throughout, and that none of their requests takes alone: a fault on a
   * quiet machine. On a busy one they are also what the kernel books on a thread whose processor is taken by other machines.
   */
  unexplained: string[];
  /** Turns above what is allowed that waited for a processor, and that none of their requests takes alone. */
  excused: number;
}

/** @param again sends the request of a seed alone, and waits for its response */
export async function judgeTurns(
  all: readonly Turn[],
  allowedMs: number,
  { turns, timeline, again }: { turns: Turns; timeline: Timeline; again(seed: number): Promise<unknown> },
): Promise<Judged> {
  const tooLong = all.filter(({ cpuMs }) => cpuMs > allowedMs);
  const judged: Judged = { failures: [], unexplained: [], excused: 0 };
  const innocent = new Set<number>();
  const takesLong = async (seed: number): Promise<boolean> => {
    for (let tries = 0; tries < TRIES; tries++) {
      await turns.read();
      await again(seed);
      if ((await turns.longestMs()) <= allowedMs) return false;
    }
    return true;
  };
  for (const turn of tooLong.slice(0, TURNS_MOST)) {
    const took = `a turn took ${turn.cpuMs.toFixed(1)} ms of CPU`;
    let guilty: number | null = null;
    for (const seed of timeline.within(turn)) {
      if (innocent.has(seed)) continue;
      if (await takesLong(seed)) guilty = seed;
      else innocent.add(seed);
      if (guilty !== null) break;
    }
    if (guilty !== null) judged.failures.push(`${took}: of seed ${guilty}, each time that it is sent`);
    else if (turn.endedMs - turn.beganMs - turn.cpuMs < WAITED_MS)
      judged.unexplained.push(`${took}, which no request of that time takes alone`);
    else judged.excused++;
  }
  if (tooLong.length > TURNS_MOST) judged.failures.push(`${tooLong.length} turns were too long`);
  return judged;
}
