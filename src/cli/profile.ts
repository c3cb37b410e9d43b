/**
 * Which gateway is meant, and with which admin key. Owns: the order in which flags, environment and profiles count, and
 * the file of profiles. Invariants: a key is never an argument, which other users of the machine could read; the file is
 * its owner's alone.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type CliWorld, Failed, WrongLine } from './world.ts';

export interface Target {
  /** Without a slash at the end. */
  url: string;
  /** @throws Failed when there is none */
  key(): string;
}

const DEFAULT_URL = 'http://127.0.0.1:8787';
const OWNER_ONLY = 0o600;

const Profiles = z.strictObject({
  default: z.string().nullable(),
  profiles: z.record(z.string(), z.strictObject({ url: z.string(), key: z.string() })),
});
type Profiles = z.infer<typeof Profiles>;

/**
 * Returns the gateway of the flags `--gateway` and `--profile`, else of TOLLGATE_URL and TOLLGATE_ADMIN_KEY, else of
 * TOLLGATE_PROFILE or the default profile, else the one on this machine with the key in its data folder. A gateway that a flag or
 * the environment names gets the key of a profile only where `--profile` says which.
 * @throws WrongLine, Failed
 */
export function findTarget(
  flags: { gateway?: string | undefined; profile?: string | undefined },
  world: CliWorld,
): Target {
  const { env } = world;
  const isNamed = Boolean(flags.gateway || env.TOLLGATE_URL);
  const name = flags.profile ?? (isNamed ? undefined : env.TOLLGATE_PROFILE);
  // Where no profile is asked for, a fault of their file is no matter.
  const saved = name || !(isNamed || env.TOLLGATE_ADMIN_KEY) ? readProfiles(world) : null;
  const profileName = name || saved?.default;
  if (saved && profileName) {
    const profile = Object.hasOwn(saved.profiles, profileName) ? saved.profiles[profileName] : undefined;
    if (profile === undefined) throw new WrongLine(noProfile(profileName, saved));
    return { url: checkedUrl(flags.gateway ?? profile.url), key: () => profile.key };
  }
  const url = checkedUrl(flags.gateway ?? (env.TOLLGATE_URL || DEFAULT_URL));
  return { url, key: () => env.TOLLGATE_ADMIN_KEY || keyOfDataFolder(env.TOLLGATE_DATA_DIR || './data') };
}

function noProfile(name: string, { profiles }: Profiles): string {
  const names = Object.keys(profiles);
  const known = names.length === 0 ? 'there is none yet' : `there are ${names.join(', ')}`;
  return `there is no profile '${name}': ${known}. 'tollgate profile add ${name} --url URL' makes it`;
}

/** The gateway makes its admin key at its first start and keeps it there. */
function keyOfDataFolder(dataDir: string): string {
  const path = join(dataDir, 'admin-key');
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    throw new Failed(
      `no admin key: set TOLLGATE_ADMIN_KEY, or add a profile ('tollgate profile add --help'). There is none in ${path} either`,
    );
  }
}

/** Returns the URL without what the paths bring along. */
export function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new WrongLine(`'${text}' is no URL of a gateway, such as ${DEFAULT_URL}`);
  return url.href.replace(/\/(?:(?:admin\/)?v1\/?)?$/, '');
}

export function profilesPath({ env, home }: CliWorld): string {
  return join(env.XDG_CONFIG_HOME || join(home, '.config'), 'tollgate', 'profiles.json');
}

/** @throws Failed when others can read the file, or it is not one of profiles */
export function readProfiles(world: CliWorld): Profiles {
  const path = profilesPath(world);
  let text: string;
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0)
      throw new Failed(`${path} holds admin keys and can be read by others: chmod 600 ${path}`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { default: null, profiles: {} };
    throw error;
  }
  try {
    return Profiles.parse(JSON.parse(text));
  } catch {
    throw new Failed(`${path} is not a file of profiles: mend or remove it`);
  }
}

/** Replaces the file as a whole: one that was cut off would lose every key. */
export function writeProfiles(profiles: Profiles, world: CliWorld): void {
  const path = profilesPath(world);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(profiles, null, 2)}\n`, { mode: OWNER_ONLY });
  chmodSync(draft, OWNER_ONLY);
  renameSync(draft, path);
}
