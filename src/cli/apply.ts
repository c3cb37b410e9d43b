/**
 * `tollgate apply -f FILE`: an organisation's teams, limits, plans and prices as a file, which may lie in version
 * control. Owns: the command's line, and carrying out the changes that differences.ts finds.
 * Invariants: the whole file is checked before the first change; a second run changes nothing.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Client, createClient, fetchApi } from './client.ts';
import { actionsOf, type Change, DESIRED_NOUNS, differences, type Item, readDesired } from './differences.ts';
import type { Api } from './document.ts';
import type { Placeholders } from './names.ts';
import { findTarget } from './profile.ts';
import { isRecord } from './render.ts';
import { reporting } from './run.ts';
import { type CliWorld, Failed, WrongLine } from './world.ts';

const HELP = `Usage: tollgate apply -f FILE [--dry-run] [--prune] [options]

Makes the gateway have what the file says. The file is YAML (or JSON) with any of ${DESIRED_NOUNS.join(', ')}: each a
list of what 'tollgate <noun> create' takes, by the API's field names. Names stand for ids, and windows and subjects may
be written as on the command line:

  teams:
    - name: Atlas
      plan: free-tier
  limits:
    - subject: team:Atlas
      meter: cost_usd
      window: month@Europe/Berlin
      amount: "500.00"

A field that the file leaves out stays as it is. A limit is known by its subject, meter, window, models and enforcement,
a price by its model, tier and effective_from, all else by its name. Grants are left to 'tollgate grants create', and
upstreams to the file of TOLLGATE_CONFIG_FILE.

  -f, --file FILE    - is stdin
  --dry-run          print what would change; exit code 3 when something would
  --prune            delete what the gateway has of the nouns in the file and the file does not name
  --gateway URL      of the gateway (TOLLGATE_URL, or http://127.0.0.1:8787)
  --profile NAME     one of tollgate profile list (TOLLGATE_PROFILE)
`;

/** Exit code of a dry run that found differences, as scripts that watch for drift need it. */
const DIFFERS = 3;

/** Returns the exit code. */
export async function runApply(args: readonly string[], world: CliWorld): Promise<number> {
  return reporting('apply', world, async () => {
    const flags = readLine([...args]);
    if (flags.help) {
      world.stdout(HELP);
      return 0;
    }
    if (flags.file === undefined) throw new WrongLine('apply needs -f FILE');
    const target = findTarget({ gateway: flags.gateway, profile: flags.profile }, world);
    const desired = readDesired(
      flags.file === '-' ? await world.stdin() : await textOf(flags.file),
      flags.file,
    );
    const api = await fetchApi(target, world);
    const client = createClient(target);
    const { changes, placeholders } = await differences(desired, flags.prune, client, api);
    for (const { lines } of changes) world.stdout(`${lines.join('\n')}\n`);
    if (changes.length === 0) world.stdout('Nothing differs\n');
    if (flags['dry-run'] || changes.length === 0) return changes.length === 0 ? 0 : DIFFERS;
    await carryOut(changes, placeholders, client, api, world);
    return 0;
  });
}

function readLine(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        file: { type: 'string', short: 'f' },
        'dry-run': { type: 'boolean', default: false },
        prune: { type: 'boolean', default: false },
        gateway: { type: 'string' },
        profile: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    if (error instanceof TypeError) throw new WrongLine(`apply: ${error.message}`);
    throw error;
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Failed(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** One after the other; what was done before a failure stays, and the next run does the rest. */
async function carryOut(
  changes: readonly Change[],
  placeholders: Placeholders,
  client: Client,
  api: Api,
  world: CliWorld,
): Promise<void> {
  const made = new Map<string, string>();
  let done = 0;
  try {
    for (const change of changes) {
      const created = await client.json(requestOf(change, made, api));
      const placeholder =
        change.kind === 'create' ? placeholders.of(change.noun, change.body.name) : undefined;
      if (placeholder !== undefined && isRecord(created)) made.set(placeholder, String(created.id));
      done += 1;
    }
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    const change = changes[done];
    throw new Failed(
      `${change?.noun} ${change?.title}: ${error.message}. ${done} of ${changes.length} changes were made; run it again for the rest`,
    );
  }
  world.stdout(`${done} ${done === 1 ? 'change was' : 'changes were'} made\n`);
}

function requestOf({ noun, kind, id, body }: Change, made: ReadonlyMap<string, string>, api: Api) {
  const actions = actionsOf(noun, api);
  if (kind === 'create') return { method: 'POST', path: actions.create.path, body: filled(body, made) };
  const path = `${actions.list.path}/${encodeURIComponent(id ?? '')}`;
  return kind === 'delete' ? { method: 'DELETE', path } : { method: 'PATCH', path, body: filled(body, made) };
}

/** Returns the value with the ids of what was made in the places of their placeholders. */
function filled<Value>(value: Value, made: ReadonlyMap<string, string>): Value | Item | unknown {
  if (typeof value === 'string') return made.get(value) ?? value;
  if (Array.isArray(value)) return value.map((part) => filled(part, made));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, filled(part, made)]));
}
