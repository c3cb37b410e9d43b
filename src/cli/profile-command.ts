/** `tollgate profile`: gateways and their admin keys under a name, in a file that only its owner can read. */
import { parseArgs } from 'node:util';
import { checkedUrl, profilesPath, readProfiles, writeProfiles } from './profile.ts';
import { aligned } from './render.ts';
import { reporting } from './run.ts';
import { type CliWorld, WrongLine } from './world.ts';

const HELP = `Usage: tollgate profile <action>

  list                      names and URLs; * is the default
  add NAME --url URL        reads the admin key from stdin, so that it stands in no list of processes
  use NAME                  makes it the default
  remove NAME

  echo "$KEY" | tollgate profile add production --url https://tollgate.example.com
`;

/** Returns the exit code. */
export async function runProfile(args: readonly string[], world: CliWorld): Promise<number> {
  return reporting('profile', world, async () => {
    const { action, name, url, help } = readLine([...args]);
    if (help || action === undefined) {
      world.stdout(HELP);
      return 0;
    }
    const saved = readProfiles(world);
    if (action === 'list') {
      world.stdout(listOf(saved));
      return 0;
    }
    if (name === undefined) throw new WrongLine(`profile ${action} needs a NAME`);
    if (action === 'add') {
      if (url === undefined) throw new WrongLine('profile add needs --url URL');
      if (world.isTerminal) world.stderr('Admin key (then Enter and Ctrl-D): ');
      const key = (await world.stdin()).trim();
      if (key === '' || /\s/.test(key))
        throw new WrongLine('profile add reads the admin key from stdin: one line');
      const profiles = { ...saved.profiles, [name]: { url: checkedUrl(url), key } };
      writeProfiles({ default: saved.default ?? name, profiles }, world);
      world.stderr(`${profilesPath(world)} has the profile ${name}\n`);
      return 0;
    }
    if (!Object.hasOwn(saved.profiles, name)) throw new WrongLine(`there is no profile '${name}'`);
    if (action === 'use') writeProfiles({ ...saved, default: name }, world);
    else {
      const { [name]: _, ...profiles } = saved.profiles;
      writeProfiles({ default: saved.default === name ? null : saved.default, profiles }, world);
    }
    return 0;
  });
}

export const PROFILE_ACTIONS = ['list', 'add', 'use', 'remove'] as const;

function readLine(args: string[]) {
  try {
    const options = {
      url: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const action = PROFILE_ACTIONS.find((each) => each === positionals[0]);
    if (positionals[0] !== undefined && action === undefined)
      throw new WrongLine(`profile: there is no '${positionals[0]}'. There is ${PROFILE_ACTIONS.join(', ')}`);
    return { action, name: positionals[1], url: values.url, help: values.help };
  } catch (error) {
    if (error instanceof TypeError) throw new WrongLine(`profile: ${error.message}`);
    throw error;
  }
}

function listOf(saved: ReturnType<typeof readProfiles>): string {
  const rows = Object.entries(saved.profiles).map(([name, { url }]) => [
    name === saved.default ? '*' : '',
    name,
    url,
  ]);
  if (rows.length === 0) return 'none\n';
  return `${aligned([['', 'NAME', 'URL'], ...rows]).join('\n')}\n`;
}
