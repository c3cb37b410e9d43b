/** Rules about package.json and package-lock.json: what `npm ci` needs on every platform, and no registry's address. */

/** The fields of a manifest, and of an entry of the lock file, that the rules look at. */
export interface Manifest {
  integrity?: string;
  resolved?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

export interface Lock {
  packages: Record<string, Manifest>;
}

const EXACT = /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/;

/** Direct dependencies without an exact version. */
export function inexact({ dependencies, devDependencies, optionalDependencies }: Manifest): string[] {
  return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    .filter(([, version]) => !EXACT.test(version))
    .map(([name, version]) => `${name} ${version}: not one exact version`);
}

/** What some package needs, optional packages of every platform included, and the lock file does not have or does not pin. */
export function unlocked({ packages }: Lock): string[] {
  const complaints: string[] = [];
  for (const [path, entry] of Object.entries(packages)) {
    if (path !== '' && entry.integrity === undefined) complaints.push(`${path}: no integrity`);
    const needed = { ...entry.dependencies, ...entry.optionalDependencies };
    if (path === '') Object.assign(needed, entry.devDependencies);
    for (const name of Object.keys(needed)) {
      if (!places(path).some((place) => Object.hasOwn(packages, `${place}node_modules/${name}`)))
        complaints.push(`${path || 'the root'}: ${name} is not in the lock file`);
    }
  }
  return complaints;
}

/** Folders, each with its slash, whose node_modules a package at this path sees: its own first. */
function places(path: string): string[] {
  if (path === '') return [''];
  const parent = path.slice(0, Math.max(0, path.lastIndexOf('node_modules/')));
  return [`${path}/`, ...places(parent.replace(/\/$/, ''))];
}

/** The versions of the packages that bring a Node for one platform, by name. */
export function bundledNodes({ optionalDependencies = {} }: Manifest): Record<string, string> {
  const nodes = Object.entries(optionalDependencies).filter(([name]) => /^node-/.test(name));
  return Object.fromEntries(nodes);
}

/** Packages whose entry names the registry that they came from: who installs may have another. */
export function resolved({ packages }: Lock): string[] {
  return Object.entries(packages)
    .filter(([, entry]) => entry.resolved !== undefined)
    .map(([path, entry]) => `${path}: ${entry.resolved}`);
}
