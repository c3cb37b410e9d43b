/** Names in the place of ids: people know the team Atlas, not its id. */
import { randomUUID } from 'node:crypto';
import type { Client } from './client.ts';
import { type Action, type Api, actionOf, itemSchema } from './document.ts';
import { listAll } from './lists.ts';
import { isRecord } from './render.ts';
import { Failed } from './world.ts';

type Item = Record<string, unknown>;

/** Fields that hold the id of something that has a name. */
const REFERENCES: Record<string, string> = {
  team_id: 'teams',
  key_id: 'keys',
  department_id: 'departments',
  parent_id: 'departments',
  person_id: 'people',
};

/** What people call it: a person by the name under which they sign in. */
function nameOf(noun: string, { name, user_name: userName }: Item): unknown {
  return noun === 'people' ? userName : name;
}

/** Stands for the ids of what the file itself makes, until it is made. */
export class Placeholders {
  readonly #ids = new Map<string, string>();

  constructor(wanted: ReadonlyMap<string, readonly Item[]>) {
    for (const [noun, entries] of wanted) {
      for (const { name } of entries)
        if (typeof name === 'string') this.#ids.set(`${noun} ${name}`, randomUUID());
    }
  }

  /** Returns the placeholder; undefined when the file makes no such thing. */
  of(noun: string, name: unknown): string | undefined {
    return this.#ids.get(`${noun} ${name}`);
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Returns every item of a list. */
export async function listItems(list: Action, client: Client): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of listAll(list, client)) if (isRecord(item)) items.push(item);
  return items;
}

/** Ids by name and names by id, each noun's list read once. */
export class Names {
  readonly #client: Client;
  readonly #api: Api;
  readonly #placeholders: Placeholders;
  readonly #lists = new Map<string, Promise<Item[]>>();

  constructor(client: Client, api: Api, placeholders = new Placeholders(new Map())) {
    this.#client = client;
    this.#api = api;
    this.#placeholders = placeholders;
  }

  /** Returns the fields with ids for names: in a subject, in roles, and in fields such as `team_id`. @throws Failed */
  resolve<Fields extends Item>(fields: Fields): Promise<Fields> {
    return this.#each(fields, (noun, text) => this.idOf(noun, text));
  }

  /** Returns the item with names for ids. */
  named(item: Item): Promise<Item> {
    return this.#each(item, async (noun, id) => {
      const found = (await this.#list(noun)).find((other) => other.id === id);
      const name = found && nameOf(noun, found);
      return typeof name === 'string' ? name : id;
    });
  }

  /**
   * Returns the id of what is called so; the text itself where it is an id, or where things have none beside their name.
   * @throws Failed when none or several are called so
   */
  async idOf(noun: string, text: string): Promise<string> {
    if (UUID.test(text)) return text;
    if (!this.#hasNames(noun)) throw new Failed(`nothing here has a name: use an id, found '${text}'`);
    const items = await this.#list(noun);
    if (!items.every(({ id }) => UUID.test(String(id)))) return text;
    const named = noun === 'people' ? text.toLowerCase() : text;
    const ids = items.filter((item) => nameOf(noun, item) === named).map(({ id }) => String(id));
    const id = ids[0] ?? this.#placeholders.of(noun, text);
    if (id === undefined) throw new Failed(`none of the ${noun} is called '${text}'`);
    if (ids.length > 1)
      throw new Failed(`${ids.length} of the ${noun} are called '${text}': use an id (${ids.join(', ')})`);
    return id;
  }

  async #each<Fields extends Item>(
    fields: Fields,
    replace: (noun: string, text: string) => Promise<string>,
  ): Promise<Fields> {
    const entries = Object.entries(fields).map(async ([name, value]) => {
      const noun = REFERENCES[name];
      if (noun !== undefined && typeof value === 'string') return [name, await replace(noun, value)];
      const within = async (subject: unknown) => {
        if (!isRecord(subject)) return subject;
        const { id, team_id: team } = subject;
        // An end user's id is any text of the client's, and stays as it is.
        const of = REFERENCES[`${subject.type}_id`];
        return {
          ...subject,
          ...(of !== undefined && typeof id === 'string' ? { id: await replace(of, id) } : {}),
          ...(typeof team === 'string' ? { team_id: await replace('teams', team) } : {}),
        };
      };
      if (name === 'subject') return [name, await within(value)];
      if (name !== 'roles' || !Array.isArray(value)) return [name, value];
      const roles = value.map(async (role) =>
        isRecord(role) ? { ...role, scope: await within(role.scope) } : role,
      );
      return [name, await Promise.all(roles)];
    });
    return Object.fromEntries(await Promise.all(entries));
  }

  /** Or ids that are no UUIDs. Of what has neither a list would be read in vain, of calls the whole ledger. */
  #hasNames(noun: string): boolean {
    const reply = actionOf(this.#api, noun, 'list')?.reply ?? null;
    const { id, ...fields } = (reply && itemSchema(reply, this.#api.schemas).properties) ?? {};
    return id?.format !== 'uuid' || 'name' in fields || 'user_name' in fields;
  }

  #list(noun: string): Promise<Item[]> {
    const action = actionOf(this.#api, noun, 'list');
    const known =
      this.#lists.get(noun) ?? (action === undefined ? Promise.resolve([]) : listItems(action, this.#client));
    this.#lists.set(noun, known);
    return known;
  }
}
