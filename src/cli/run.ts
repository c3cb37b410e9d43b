/**
 * The commands for a running gateway: `tollgate teams create --name Atlas`. Owns: from a line to one request, what is
 * printed, and the exit code. What there is to do comes from the gateway's own document (document.ts).
 */
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Client, cachedApi, createClient, fetchApi, type Request } from './client.ts';
import { type Action, type Api, isNeeded } from './document.ts';
import { type CommonFlags, flagOf, type ReadFlags, readFlags } from './flags.ts';
import { actionHelp, nounHelp } from './help.ts';
import { hasPages, listSome } from './lists.ts';
import { Names } from './names.ts';
import { findTarget, type Target } from './profile.ts';
import { linesOf, tableOf } from './render.ts';
import { type CliWorld, Failed, WrongLine } from './world.ts';

/** Calls are events in the admin API: the ledger's word. */
export function nounOf(command: string): string {
  return command === 'calls' ? 'events' : command;
}

/** Words of other tools for the same. */
const OTHER_WORDS: Record<string, string> = {
  get: 'show',
  update: 'change',
  remove: 'delete',
  raise: 'create-raises',
};

const ROWS = 100;
/** Calls are many, and the newest are what one looks for. */
const FIRST_QUERY: Record<string, Record<string, string>> = { events: { order: 'desc' } };

/** Runs one command; returns its exit code: 1 when the gateway refuses, 2 for a wrong line. */
export async function runResource(
  command: string,
  args: readonly string[],
  world: CliWorld,
): Promise<number> {
  return reporting(command, world, () => act(command, args, world));
}

/** Tells people of a wrong line or a failure; returns the exit code. */
export async function reporting(
  command: string,
  world: CliWorld,
  run: () => Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof WrongLine) {
      world.stderr(`tollgate: ${error.message}\n'tollgate ${command} --help' says what there is\n`);
      return 2;
    }
    if (!(error instanceof Failed)) throw error;
    world.stderr(`tollgate: ${error.message}\n`);
    return 1;
  }
}

async function act(command: string, args: readonly string[], world: CliWorld): Promise<number> {
  const noun = nounOf(command);
  const given = commonFlagsOf(args);
  const target = findTarget(given, world);
  const api = await apiFor(given, target, world);
  const actions = api.actions.filter((action) => action.noun === noun);
  if (actions.length === 0) throw new Failed(`this gateway has no ${noun}`);
  const word = wordOf(args[0], actions);
  const named = actions.filter(({ verb }) => verb === word);
  if (given.help && named.length === 0) {
    world.stdout(nounHelp(command, noun, api));
    return 0;
  }
  const [verb, rest] = named.length > 0 ? [word, args.slice(1)] : ['list', args];
  if (named.length === 0 && word !== undefined)
    throw new WrongLine(`${command}: there is no '${word}'. There is ${verbsOf(actions)}`);
  const hasId = rest[0] !== undefined && !rest[0].startsWith('-');
  const candidates = actions.filter((action) => action.verb === verb);
  const action = candidates.find(({ takesId }) => takesId === hasId) ?? candidates[0];
  if (action === undefined) throw new WrongLine(`${command}: say what to do: ${verbsOf(actions)}`);
  if (given.help) {
    world.stdout(actionHelp(command, action, api));
    return 0;
  }
  const read = readFlags(rest, action, api.schemas);
  const client = createClient(target);
  const request = await requestOf(action, read, client, api);
  return print(action, request, read.common, client, api, world);
}

/** Returns which action a line asks for, by its own word or another; undefined: none is said. */
function wordOf(said: string | undefined, actions: readonly Action[]): string | undefined {
  if (said === undefined || said.startsWith('-')) return undefined;
  const other = Object.hasOwn(OTHER_WORDS, said) ? OTHER_WORDS[said] : undefined;
  const isKnown = (word: string | undefined) => actions.some(({ verb }) => verb === word);
  return !isKnown(said) && isKnown(other) ? other : said;
}

function verbsOf(actions: readonly Action[]): string {
  return [...new Set(actions.map(({ verb }) => verb))].join(', ');
}

/** The common flags of a line whose action is not known yet; what only the action knows is left aside. */
function commonFlagsOf(args: readonly string[]): { gateway?: string; profile?: string; help: boolean } {
  const flagValue = (name: string) => {
    const at = args.findIndex((word) => word === name || word.startsWith(`${name}=`));
    return at < 0 ? undefined : args[at]?.includes('=') ? args[at].slice(name.length + 1) : args[at + 1];
  };
  const gateway = flagValue('--gateway');
  const profile = flagValue('--profile');
  return {
    ...(gateway === undefined ? {} : { gateway }),
    ...(profile === undefined ? {} : { profile }),
    help: args.includes('--help') || args.includes('-h'),
  };
}

/** Help is also given of what the gateway offered when it was last asked. */
async function apiFor(flags: { help: boolean }, target: Target, world: CliWorld): Promise<Api> {
  try {
    return await fetchApi(target, world);
  } catch (error) {
    const cached = flags.help ? cachedApi(target.url, world) : null;
    if (cached === null) throw error;
    return cached;
  }
}

async function requestOf(
  action: Action,
  { operands, query, body }: ReadFlags,
  client: Client,
  api: Api,
): Promise<Request> {
  const expected = action.takesId ? 1 : 0;
  if (operands.length !== expected) {
    const line = `${action.noun} ${action.verb}`;
    throw new WrongLine(
      action.takesId
        ? `${line} takes one ID, found ${operands.length === 0 ? 'none' : operands.join(' ')}`
        : `${line} takes flags alone, found '${operands.join(' ')}'`,
    );
  }
  const missing = action.fields.find(
    (field) => isNeeded(field, api.schemas) && !(field.name in (field.in === 'body' ? (body ?? {}) : query)),
  );
  if (missing !== undefined) throw new Failed(`${action.noun} ${action.verb} needs --${flagOf(missing)}`);
  const names = new Names(client, api);
  const id = action.takesId ? await names.idOf(action.noun, operands[0] ?? '') : '';
  return {
    method: action.method,
    path: action.path.replace(/\{\w+\}/, encodeURIComponent(id)),
    query: await names.resolve(query),
    ...(body === null ? {} : { body: await names.resolve(body) }),
  };
}

async function print(
  action: Action,
  request: Request,
  flags: CommonFlags,
  client: Client,
  api: Api,
  world: CliWorld,
): Promise<number> {
  if (action.reply === null && action.downloads.length > 0)
    return save(await client.download(request), flags.out, world);
  const { noun, verb, reply } = action;
  if (action.method !== 'GET' || !(verb === 'list' || hasPages(action))) {
    const value = await client.json(request);
    world.stdout(flags.json ? `${JSON.stringify(value, null, 2)}\n` : linesOf(value, api, reply));
    return 0;
  }
  const query = { ...FIRST_QUERY[noun], ...request.query };
  const rowsMax = flags.all ? Number.POSITIVE_INFINITY : Number(query.limit ?? ROWS);
  const { limit: _, ...others } = query;
  const found = await listSome({ ...action, path: request.path }, client, others, rowsMax);
  if ('whole' in found) {
    world.stdout(flags.json ? `${JSON.stringify(found.whole, null, 2)}\n` : linesOf(found.whole, api, reply));
    return 0;
  }
  if (flags.json) {
    world.stdout(`${JSON.stringify({ data: found.rows, next: found.next, ...found.beside }, null, 2)}\n`);
    return 0;
  }
  // Of one day each difference is shown, by the id that posts it.
  const isDay = noun === 'reconciliation' && query.day !== undefined && found.rows.length > 0;
  if (isDay) world.stdout(found.rows.map((row) => linesOf(row, api, null)).join('\n'));
  else world.stdout(tableOf(found.rows, verb === 'list' ? noun : verb, flags.columns, api, reply));
  // Why there are none may stand beside them: a range, or that nothing is compared.
  if (found.rows.length === 0 && Object.keys(found.beside).length > 0)
    world.stdout(`\n${linesOf(found.beside, api, null)}`);
  if (found.next !== null) world.stderr(`There are more: --all, or --after ${found.next}\n`);
  return 0;
}

/** Writes a download to stdout, or to a file that is only there once it is whole. */
export async function save(
  bytes: AsyncIterable<Uint8Array>,
  out: string | undefined,
  world: CliWorld,
): Promise<number> {
  if (out === undefined) {
    for await (const piece of bytes) world.stdout(piece);
    return 0;
  }
  const draft = `${out}.${process.pid}.part`;
  let written = 0;
  const file = createWriteStream(draft);
  try {
    await pipeline(Readable.from(counted(bytes, (count) => (written = count))), file);
    renameSync(draft, out);
  } catch (error) {
    if (!file.pending) rmSync(draft, { force: true });
    throw new Failed(`cannot write ${out}: ${(error as Error).message}`);
  }
  world.stderr(`${out}: ${written} bytes\n`);
  return 0;
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  note: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const piece of bytes) {
    count += piece.length;
    note(count);
    yield piece;
  }
}
