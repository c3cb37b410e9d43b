/** Where the CPU time of one gateway goes: runs it under Node's sampling profiler and sums what each function took itself. */
import { globSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A `.cpuprofile`, as far as it is read here (Chrome DevTools Protocol, `Profiler.Profile`). */
interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  /** Microseconds since the previous sample. */
  timeDeltas: number[];
}

const SHOWN = 40;
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Flags for the gateway. The profile is written when it ends in good order. */
export function profileFlags(dir: string): string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${dir}`];
}

function placeOf(url: string, lineNumber: number): string {
  if (!url) return '';
  const path = url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url;
  return `${path}:${lineNumber + 1}`;
}

/** Functions by their own time, the most expensive first, as shares of all time that was not idle. */
function topFunctions(profile: CpuProfile): string {
  const names = new Map<number, string>();
  for (const { id, callFrame } of profile.nodes) {
    const name = callFrame.functionName || '(anonymous)';
    names.set(id, `${name} ${placeOf(callFrame.url, callFrame.lineNumber)}`.trim());
  }
  const selfUs = new Map<string, number>();
  let busyUs = 0;
  profile.samples.forEach((id, index) => {
    const name = names.get(id)!;
    if (name === '(idle)') return;
    const deltaUs = profile.timeDeltas[index]!;
    busyUs += deltaUs;
    selfUs.set(name, (selfUs.get(name) ?? 0) + deltaUs);
  });
  const sorted = [...selfUs].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  const lines = sorted.map(([name, us]) => `${((us / busyUs) * 100).toFixed(1).padStart(5)} %  ${name}`);
  return lines.join('\n');
}

/** Reads what a gateway with {@link profileFlags} left: of several threads the busiest. Throws when it left nothing. */
export function readProfile(dir: string): string {
  const profiles = globSync(`${dir}/*.cpuprofile`).map(
    (file): CpuProfile => JSON.parse(readFileSync(file, 'utf8')),
  );
  const [busiest] = profiles.sort((a, b) => b.nodes.length - a.nodes.length);
  if (!busiest) throw new Error('the gateway wrote no profile: it did not end in good order');
  return topFunctions(busiest);
}
