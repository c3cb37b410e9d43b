/** The rules of who may import whom: functions over a list of files, so that small bad trees can prove each of them. */
import { posix } from 'node:path';

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  path: string;
  text: string;
}

interface Import {
  from: string;
  /** A path relative to the repository for files of ours, otherwise the package as written. */
  to: string;
  typeOnly: boolean;
}

const TYPES_OF = (room: string) => `type:${room}`;
const LOWER_FLOORS = [
  'domain',
  'openai',
  'store',
  'telemetry',
  'config',
  'admission',
  'ledger',
  'auth',
  'upstreams',
  'planner',
];

/**
 * The floors of the house: what each room may import besides itself, as values or as types only.
 * A room that is not listed does not exist. `*` means every room.
 */
const ROOMS: Record<string, readonly string[]> = {
  domain: [],
  wire: [],
  openai: ['domain'],
  store: ['domain'],
  telemetry: ['domain'],
  config: ['domain'],
  admission: ['domain', TYPES_OF('store')],
  upstreams: ['domain', 'openai', TYPES_OF('wire')],
  planner: ['domain', 'openai'],
  ledger: ['domain', 'admission', TYPES_OF('store'), TYPES_OF('telemetry')],
  auth: ['domain', TYPES_OF('store'), TYPES_OF('telemetry')],
  gateway: [...LOWER_FLOORS, 'wire'],
  admin: LOWER_FLOORS,
  jobs: LOWER_FLOORS,
  simulator: [],
  cli: [],
  console: ['admin/contract'],
  demo: ['*'],
  main: ['*'],
};

const STATIC_IMPORT = /^\s*(?:import|export)\b(\s+type\b)?[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm;
const BARE_IMPORT = /^\s*import\s*['"]([^'"]+)['"]/gm;
const DYNAMIC_IMPORT = /\bimport\(\s*['"]([^'"]+)['"]/g;

function importsOf({ path, text }: SourceFile): Import[] {
  const resolve = (target: string) =>
    target.startsWith('.') ? posix.join(posix.dirname(path), target) : target;
  const found: Import[] = [];
  for (const [, type, target] of text.matchAll(STATIC_IMPORT)) {
    found.push({ from: path, to: resolve(target!), typeOnly: type !== undefined });
  }
  for (const pattern of [BARE_IMPORT, DYNAMIC_IMPORT]) {
    for (const [, target] of text.matchAll(pattern)) {
      found.push({ from: path, to: resolve(target!), typeOnly: false });
    }
  }
  return found;
}

/** `src/domain/money.ts` → `domain`, `src/main.ts` → `main`; null outside src. */
function roomOf(path: string): string | null {
  return /^src\/([^/.]+)/.exec(path)?.[1] ?? null;
}

/** Imports point down: no room imports a sibling, a higher floor, or anything of ours outside src. */
export function floors(files: readonly SourceFile[]): string[] {
  const complaints: string[] = [];
  for (const file of files) {
    const room = roomOf(file.path);
    if (room === null) continue;
    const allowed = ROOMS[room];
    if (allowed === undefined) {
      complaints.push(`${file.path}: there is no room ${room}`);
      continue;
    }
    for (const { to, typeOnly } of importsOf(file)) {
      if (!to.includes('/') || roomOf(to) === room || !isOurs(to)) continue;
      if (!mayImport(allowed, to, typeOnly)) complaints.push(`${file.path}: ${room} may not import ${to}`);
    }
  }
  return complaints;
}

function isOurs(target: string): boolean {
  return /^(?:src|test|bench|bin|drizzle|grafana|docs|\.\.)\//.test(target);
}

function mayImport(allowed: readonly string[], to: string, typeOnly: boolean): boolean {
  const room = roomOf(to);
  if (room === null) return false;
  if (allowed.includes('*') || allowed.includes(room)) return true;
  if (typeOnly && allowed.includes(TYPES_OF(room))) return true;
  return allowed.some((part) => part.includes('/') && new RegExp(`^src/${part}[./]`).test(to));
}

/** No file imports itself through others, types included: what needs each other belongs together. */
export function circles(files: readonly SourceFile[]): string[] {
  const graph = new Map(files.map((file) => [file.path, importsOf(file).map(({ to }) => to)]));
  const finished = new Set<string>();
  const complaints: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      complaints.push(`circle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`);
      return;
    }
    if (finished.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return complaints;
}

/** Rules about packages: a room that must do without one, or the only room that may have it. */
export function packages(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => roomOf(path) !== null)
    .flatMap(importsOf)
    .flatMap(({ from, to }) => {
      const room = roomOf(from);
      if (/^drizzle-orm(?:\/|$)/.test(to) && room !== 'store') {
        return [`${from}: only store imports drizzle-orm`];
      }
      if (to.startsWith('node:') && room === 'domain') return [`${from}: domain is pure, without ${to}`];
      return [];
    });
}
