/** Where the CPU time of one gateway goes: runs it under Node's sampling profiler and sums what each function, and each part, took itself. */
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

/** What a function belongs to: a room of ours, a package, Node's own code, or the engine and the kernel below it. */
function partOf(functionName: string, url: string): string {
  if (!url) return functionName === '(garbage collector)' ? functionName : '(native)';
  if (!url.startsWith('file:')) return 'node';
  const path = relative(ROOT, fileURLToPath(url)).split('/');
  const packageAt = path.lastIndexOf('node_modules');
  if (packageAt === -1) return path.slice(0, Math.min(2, path.length - 1)).join('/');
  const name = path[packageAt + 1]!;
  return name.startsWith('@') ? `${name}/${path[packageAt + 2]}` : name;
}

type Naming = (frame: CpuProfile['nodes'][number]['callFrame']) => string;

/** What took its own time, the most expensive first, as shares of all time that was not idle. */
function shares(profile: CpuProfile, lastSeconds: number, naming: Naming): string {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, naming(callFrame)]));
  const idle = new Set(
    profile.nodes.filter(({ callFrame }) => callFrame.functionName === '(idle)').map(({ id }) => id),
  );
  const selfUs = new Map<string, number>();
  let leftUs = profile.timeDeltas.reduce((sum, deltaUs) => sum + deltaUs, 0);
  let busyUs = 0;
  profile.samples.forEach((id, index) => {
    const deltaUs = profile.timeDeltas[index]!;
    leftUs -= deltaUs;
    if (idle.has(id) || leftUs > lastSeconds * 1_000_000) return;
    busyUs += deltaUs;
    const name = names.get(id)!;
    selfUs.set(name, (selfUs.get(name) ?? 0) + deltaUs);
  });
  const sorted = [...selfUs].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  const lines = sorted.map(([name, us]) => `${((us / busyUs) * 100).toFixed(1).padStart(5)} %  ${name}`);
  return lines.join('\n');
}

/**
 * Reads what a gateway with {@link profileFlags} left, of several threads the busiest. Only its last seconds count: before
 * them it starts, and its code gets as fast as it will be. Throws when it left nothing.
 */
export function readProfile(dir: string, lastSeconds: number): string {
  const profiles = globSync(`${dir}/*.cpuprofile`).map(
    (file): CpuProfile => JSON.parse(readFileSync(file, 'utf8')),
  );
  const [busiest] = profiles.sort((a, b) => b.nodes.length - a.nodes.length);
  if (!busiest) throw new Error('the gateway wrote no profile: it did not end in good order');
  const parts = shares(busiest, lastSeconds, ({ functionName, url }) => partOf(functionName, url));
  const functions = shares(busiest, lastSeconds, ({ functionName, url, lineNumber }) =>
    `${functionName || '(anonymous)'} ${placeOf(url, lineNumber)}`.trim(),
  );
  return `by part\n\n${parts}\n\nby function\n\n${functions}`;
}
