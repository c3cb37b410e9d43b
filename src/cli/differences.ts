/**
 * What a file of `tollgate apply` differs in from the gateway. Owns: by which fields one thing is the same in both, when
 * two values are equal, and what cannot be changed. Invariants: nothing is sent that changes; nothing that the file does
 * not name is deleted unless that is asked for. Grants are not part of it: credit that is given twice is money lost.
 */
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { Client } from './client.ts';
import { type Action, type Api, actionOf, isNeeded } from './document.ts';
import { subjectOf, windowOf } from './flags.ts';
import { listItems, Names, Placeholders } from './names.ts';
import { cellOf, isRecord } from './render.ts';
import { Failed, WrongLine } from './world.ts';

/** In the order of creation: what names another comes after it. Each is known by these fields. */
const IDENTITY: Record<string, readonly string[]> = {
  plans: ['name'],
  prices: ['model', 'tier', 'effective_from'],
  tags: ['name'],
  departments: ['name'],
  teams: ['name'],
  limits: ['subject', 'meter', 'window', 'models', 'enforcement'],
};
export const DESIRED_NOUNS: readonly string[] = Object.keys(IDENTITY);

export type Item = Record<string, unknown>;

export interface Change {
  noun: string;
  /** What people call it. */
  title: string;
  kind: 'create' | 'change' | 'delete';
  /** Id of the live one. */
  id: string | null;
  body: Item;
  /** As it is shown. */
  lines: string[];
}

/** What a file asks for. */
export interface Desired {
  /** The entries by noun. */
  wanted: Map<string, Item[]>;
  /** What is wrong with the nouns, each with its text. */
  problems: string[];
}

/** Returns what a file asks for, with the faults of its nouns. @throws Failed with the line of each fault, where the text is no YAML */
export function readDesired(text: string, path: string): Desired {
  const document = parseDocument(text, { lineCounter: new LineCounter() });
  const broken = document.errors.map(({ message }) => message.split('\n')[0] ?? message);
  if (broken.length > 0) throw new Failed(`${path}: ${broken.join(`\n${path}: `)}`);
  let json: unknown;
  try {
    json = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    // An alias without its anchor, or too many of them: the parser takes both.
    throw new Failed(`${path}: ${(error as Error).message}`);
  }
  if (!isRecord(json)) throw new Failed(`${path}: must have ${DESIRED_NOUNS.join(', ')}`);
  const wanted = new Map<string, Item[]>();
  const problems: string[] = [];
  const order = (noun: string) => DESIRED_NOUNS.indexOf(noun);
  for (const [noun, list] of Object.entries(json).toSorted(([a], [b]) => order(a) - order(b))) {
    const problem = nounProblem(noun);
    if (problem !== null) problems.push(problem);
    else if (Array.isArray(list) && list.every(isRecord)) wanted.set(noun, list);
    else problems.push(`${noun} must be a list of entries`);
  }
  return { wanted, problems };
}

/** Returns why a noun cannot stand in the file; null: it can. */
function nounProblem(noun: string): string | null {
  if (DESIRED_NOUNS.includes(noun)) return null;
  if (noun === 'upstreams') return 'upstreams belong to the file of TOLLGATE_CONFIG_FILE';
  if (noun === 'grants')
    return "grants are given by 'tollgate grants create', each once, and not by a file that is applied again";
  return `there is no ${noun} here, only ${DESIRED_NOUNS.join(', ')}`;
}

/** @throws Failed with every fault of the file */
export async function differences(
  { wanted, problems: ofNouns }: Desired,
  prune: boolean,
  client: Client,
  api: Api,
): Promise<{ changes: Change[]; placeholders: Placeholders }> {
  const placeholders = new Placeholders(wanted);
  const names = new Names(client, api, placeholders);
  const problems = [...ofNouns];
  const changes: Change[] = [];
  const deletions: Change[] = [];
  for (const [noun, entries] of wanted) {
    const actions = actionsOf(noun, api);
    const live = Map.groupBy(await listItems(actions.list, client), (item) => identityOf(noun, item));
    const seen = new Map<string, number>();
    for (const [at, entry] of entries.entries()) {
      try {
        const body = await names.resolve(written(entry));
        const identity = identityOf(noun, body);
        const twin = seen.get(identity);
        if (twin !== undefined) throw new Failed(`is the same as ${noun}[${twin}]`);
        seen.set(identity, at);
        const change = changeOf(noun, body, entry, onlyOf(live.get(identity)), actions, api);
        if (change) changes.push(change);
      } catch (error) {
        if (!(error instanceof Failed || error instanceof WrongLine)) throw error;
        problems.push(`${noun}[${at}]: ${error.message}`);
      }
    }
    if (!prune) continue;
    const beyond = [...live].flatMap(([identity, items]) => (seen.has(identity) ? [] : items));
    const old = childrenFirst(beyond.filter((item) => isPrunable(noun, item)));
    deletions.unshift(...(await Promise.all(old.map((item) => deletionOf(noun, item, names)))));
  }
  if (problems.length > 0) throw new Failed(`nothing was changed:\n  ${problems.join('\n  ')}`);
  return { changes: [...parentsFirst(changes, placeholders), ...deletions], placeholders };
}

/**
 * A department is made, or moved, after the one that it shall be in, wherever both stand in the file.
 * @throws Failed where departments are in each other
 */
function parentsFirst(changes: readonly Change[], placeholders: Placeholders): Change[] {
  const keyOf = ({ noun, id, body }: Change) => id ?? placeholders.of(noun, body.name);
  const departments = changes.filter(({ noun }) => noun === 'departments');
  const byKey = new Map(departments.map((change) => [keyOf(change), change]));
  const ordered = new Set<Change>();
  const open = new Set<Change>();
  const place = (change: Change) => {
    if (ordered.has(change)) return;
    if (open.has(change))
      throw new Failed(`nothing was changed:\n  departments ${change.title}: is below itself`);
    open.add(change);
    const parent = byKey.get(change.body.parent_id as string);
    if (parent !== undefined) place(parent);
    ordered.add(change);
  };
  for (const change of departments) place(change);
  const inOrder = [...ordered].values();
  return changes.map((change) => (change.noun === 'departments' ? (inOrder.next().value ?? change) : change));
}

/** Only an empty department can be deleted. Things of other nouns have no parents, and stay in their order. */
function childrenFirst(items: readonly Item[]): Item[] {
  const byId = new Map(items.map((item) => [item.id, item]));
  const depthOf = (item: Item | undefined): number =>
    item === undefined || typeof item.parent_id !== 'string' ? 0 : 1 + depthOf(byId.get(item.parent_id));
  return items.toSorted((a, b) => depthOf(b) - depthOf(a));
}

interface Actions {
  list: Action;
  create: Action;
  change: Action | undefined;
}

export function actionsOf(noun: string, api: Api): Actions {
  const list = actionOf(api, noun, 'list');
  const create = actionOf(api, noun, 'create');
  if (!list || !create) throw new Failed(`this gateway has no ${noun}`);
  return { list, create, change: actionOf(api, noun, 'change') };
}

/** The prices that came with Tollgate would come back with the next release. */
function isPrunable(noun: string, item: Item): boolean {
  return noun !== 'prices' || item.origin === 'admin';
}

const SUBJECTS = ['org', 'team', 'key', 'user', 'member', 'tag', 'department'];

/** Of a limit that slows calls down, where the file does not say from which part of its amount on. */
const FROM_PERCENT = 80;

/** Windows and subjects that are written as on the command line become objects. */
function written(entry: Item): Item {
  const { subject, window, on_exhausted: rule } = entry;
  const isSlow = isRecord(rule) && rule.action === 'slow_down';
  return {
    ...entry,
    ...(isSlow ? { on_exhausted: { from_percent: FROM_PERCENT, ...rule } } : {}),
    ...(typeof subject === 'string' ? { subject: subjectOf(subject, SUBJECTS, 'subject') } : {}),
    ...(typeof window === 'string' ? { window: windowOf(window, 'window') } : {}),
  };
}

/** What tells one from others, as text. */
function identityOf(noun: string, item: Item): string {
  const fields = IDENTITY[noun] ?? [];
  return JSON.stringify(fields.map((field) => comparable(item[field] ?? DEFAULTS[field] ?? null)));
}

const DEFAULTS: Record<string, unknown> = { enforcement: 'strict', tier: 'default' };

/** Equal values become equal texts: amounts by their number, times by their instant, objects by sorted names. */
function comparable(value: unknown): unknown {
  if (typeof value === 'string') {
    if (/^\d+(?:\.\d+)?$/.test(value))
      return value
        .replace(/^0+(?=\d)/, '')
        .replace(/(\.\d*?)0+$/, '$1')
        .replace(/\.$/, '');
    return /^\d{4}-\d\d-\d\d(?:T|$)/.test(value) && !Number.isNaN(Date.parse(value))
      ? new Date(value).toISOString()
      : value;
  }
  if (Array.isArray(value)) return value.map(comparable);
  if (!isRecord(value)) return value ?? null;
  const known = Object.entries(value).filter(([, part]) => part !== null && part !== undefined);
  return Object.fromEntries(
    known.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, part]) => [name, comparable(part)]),
  );
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(comparable(a)) === JSON.stringify(comparable(b));
}

function onlyOf(items: readonly Item[] = []): Item | undefined {
  if (items.length < 2) return items[0];
  throw new Failed(`the gateway has ${items.length} such: ${items.map(idOf).join(', ')}`);
}

function changeOf(
  noun: string,
  body: Item,
  entry: Item,
  live: Item | undefined,
  actions: Actions,
  api: Api,
): Change | null {
  const title = titleOf(noun, entry);
  if (live === undefined) {
    check(body, actions.create, api);
    const lines = Object.entries(entry).map(([name, value]) => `    ${name}: ${cellOf(value)}`);
    return { noun, title, kind: 'create', id: null, body, lines: [`+ ${noun} ${title}`, ...lines] };
  }
  const known = new Set(actions.create.fields.map(({ name }) => name));
  const unknown = Object.keys(body).find((name) => !known.has(name) && !(name in live));
  if (unknown !== undefined) throw new Failed(`${unknown}: there is no such field here`);
  const differing = Object.entries(body).filter(
    ([name, value]) => name in live && !isEqual(value, live[name]),
  );
  if (differing.length === 0) return null;
  const changeable = new Set(actions.change?.fields.map(({ name }) => name));
  const fixed = differing.find(([name]) => !changeable.has(name));
  if (fixed) {
    const [name, value] = fixed;
    throw new Failed(
      `${name} is ${cellOf(live[name])} and cannot become ${cellOf(value)}: leave ${name} out of the file, or write a new entry in the place of ${title}`,
    );
  }
  const change = Object.fromEntries(differing);
  check(change, actions.change ?? actions.create, api, false);
  const lines = differing.map(([name]) => `    ${name}: ${cellOf(live[name])} -> ${cellOf(entry[name])}`);
  return {
    noun,
    title,
    kind: 'change',
    id: idOf(live),
    body: change,
    lines: [`~ ${noun} ${title}`, ...lines],
  };
}

async function deletionOf(noun: string, live: Item, names: Names): Promise<Change> {
  const title = titleOf(noun, await names.named(live));
  return { noun, title, kind: 'delete', id: idOf(live), body: {}, lines: [`- ${noun} ${title}`] };
}

/** Plans are named by their name alone. */
function idOf(live: Item): string {
  return String(live.id ?? live.name);
}

function titleOf(noun: string, item: Item): string {
  return (IDENTITY[noun] ?? [])
    .map((field) => item[field])
    .filter((value) => value !== undefined && value !== null)
    .map(cellOf)
    .join(' ');
}

/** Checks what is sent by the schemas that the gateway published. @throws Failed */
function check(body: Item, { fields }: Action, api: Api, isWhole = true): void {
  const own = new Map(fields.filter((field) => field.in === 'body').map((field) => [field.name, field]));
  const unknown = Object.keys(body).find((name) => !own.has(name));
  if (unknown !== undefined) throw new Failed(`${unknown}: there is no such field here`);
  const missing = [...own.values()].find(
    (field) => isWhole && isNeeded(field, api.schemas) && !(field.name in body),
  );
  if (missing !== undefined) throw new Failed(`${missing.name}: must be given`);
  for (const [name, value] of Object.entries(body)) {
    const schema = { ...own.get(name)?.schema, $defs: api.schemas };
    const inPlace = JSON.stringify(schema).replaceAll('#/components/schemas/', '#/$defs/');
    const result = z.fromJSONSchema(JSON.parse(inPlace)).safeParse(value);
    if (result.success) continue;
    const advice = typeof value === 'number' ? '; write amounts in quotes, such as "18.00"' : '';
    throw new Failed(`${name}: ${result.error.issues[0]?.message}${advice}`);
  }
}
