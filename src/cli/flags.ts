/**
 * From words to a request: which action a line names, and its fields from flags. Owns: how a value is written on a
 * command line (`--window month@Europe/Berlin`) and the message for one that is wrong. Pure but for looking names up.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import {
  type Action,
  type Api,
  alternatives,
  type Field,
  isNullable,
  kindsOf,
  roleScopeOf,
  type Schema,
} from './document.ts';
import { WrongLine } from './world.ts';

/** Flags of every command for a gateway. */
export interface CommonFlags {
  gateway: string | undefined;
  profile: string | undefined;
  json: boolean;
  columns: string[] | null;
  all: boolean;
  out: string | undefined;
  help: boolean;
}

export interface ReadFlags {
  common: CommonFlags;
  operands: string[];
  /** By the API's names. */
  query: Record<string, string>;
  body: Record<string, unknown> | null;
}

const COMMON = {
  gateway: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean' },
  columns: { type: 'string' },
  all: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig;

export const COMMON_HELP: readonly (readonly [string, string])[] = [
  ['--gateway URL', 'of the gateway (TOLLGATE_URL, or http://127.0.0.1:8787)'],
  ['--profile NAME', 'one of tollgate profile list (TOLLGATE_PROFILE)'],
  ['--json', 'print the JSON of the admin API'],
];

export function flagOf(field: Field): string {
  return field.name.replaceAll('_', '-');
}

export function isSwitch({ schema }: Field, schemas: Api['schemas']): boolean {
  const [only, ...others] = alternatives(schema, schemas);
  if (only === undefined || others.length > 0) return false;
  return (
    only.type === 'boolean' ||
    (only.enum?.length === 2 && only.enum.every((value) => /^(?:true|false)$/.test(String(value))))
  );
}

/** Reads the flags of an action. @throws WrongLine */
export function readFlags(
  args: readonly string[],
  action: Action | null,
  schemas: Api['schemas'],
): ReadFlags {
  const fields = action?.fields ?? [];
  const options: ParseArgsOptionsConfig = { ...COMMON };
  for (const field of fields)
    options[flagOf(field)] = { type: isSwitch(field, schemas) ? 'boolean' : 'string' };
  const { values, positionals } = parseOrWrong([...args], options, action);
  const query: Record<string, string> = {};
  let body: Record<string, unknown> | null = fields.some((field) => field.in === 'body') ? {} : null;
  for (const field of fields) {
    const value = values[flagOf(field)];
    if (value === undefined) continue;
    if (field.in === 'query') query[field.name] = String(value);
    else
      body = {
        ...body,
        [field.name]:
          typeof value === 'string' ? fieldValue(value, field.schema, schemas, `--${flagOf(field)}`) : value,
      };
  }
  const text = (name: keyof typeof COMMON) => (typeof values[name] === 'string' ? values[name] : undefined);
  return {
    common: {
      gateway: text('gateway'),
      profile: text('profile'),
      json: values.json === true,
      columns:
        text('columns')
          ?.split(',')
          .map((name) => name.trim()) ?? null,
      all: values.all === true,
      out: text('out'),
      help: values.help === true,
    },
    operands: positionals,
    query,
    body,
  };
}

function parseOrWrong(args: string[], options: ParseArgsOptionsConfig, action: Action | null) {
  try {
    return parseArgs({ args, options, allowPositionals: true, allowNegative: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const what = action === null ? '' : `${action.noun} ${action.verb}: `;
    throw new WrongLine(`${what}${error.message.replace(/\. To specify a positional.*$/s, '')}`);
  }
}

/** Returns a value as the API wants it. @throws WrongLine */
function fieldValue(text: string, schema: Schema, schemas: Api['schemas'], flag: string): unknown {
  if (text === 'null' && isNullable(schema, schemas)) return null;
  const choices = alternatives(schema, schemas);
  const isOne = (type: string) => choices.some((choice) => choice.type === type);
  if (/^\s*[[{]/.test(text) && (isOne('object') || isOne('array'))) return jsonOf(text, flag);
  const list = choices.find((choice) => choice.type === 'array');
  if (list) {
    if (text === '') return [];
    return text.split(',').map((part) => fieldValue(part.trim(), list.items ?? {}, schemas, flag));
  }
  const kinds = kindsOf(choices, schemas);
  if (kinds.has('lifetime')) return windowOf(text, flag);
  if (kinds.size > 0) return subjectOf(text, [...kinds.keys()], flag);
  const scope = roleScopeOf(choices);
  if (scope !== undefined)
    return roleOf(text, [...kindsOf(alternatives(scope, schemas), schemas).keys()], flag);
  if (isOne('object')) return pairsOf(text, flag);
  if (isOne('string')) return text;
  if (isOne('integer') || isOne('number')) {
    if (!/^-?\d+(?:\.\d+)?$/.test(text)) throw new WrongLine(`${flag} must be a number, found '${text}'`);
    return Number(text);
  }
  if (isOne('boolean')) {
    if (text !== 'true' && text !== 'false') throw new WrongLine(`${flag} must be true or false`);
    return text === 'true';
  }
  return text;
}

function jsonOf(text: string, flag: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WrongLine(`${flag} is not valid JSON: ${(error as Error).message}`);
  }
}

/** `viewer@org`, `team_lead@team:NAME`: it says where it holds, for that is what is easily given too widely. */
function roleOf(text: string, types: readonly string[], flag: string): object {
  const at = text.indexOf('@');
  if (at < 1)
    throw new WrongLine(
      `${flag} must be ROLE@SCOPE,…, such as viewer@org or team_lead@team:NAME, found '${text}'`,
    );
  return { role: text.slice(0, at), scope: subjectOf(text.slice(at + 1), types, flag) };
}

/** `name=value,name=value`. */
function pairsOf(text: string, flag: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new WrongLine(`${flag} must be name=value,… or JSON, found '${text}'`);
    return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const;
  });
  return Object.fromEntries(pairs);
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `lifetime`, `month`, `day@Europe/Berlin`, `rolling:1h`. */
export function windowOf(text: string, flag: string): object {
  if (text === 'lifetime') return { type: 'lifetime' };
  const rolling = /^rolling:(\d+)([smhd]?)$/.exec(text);
  if (rolling) {
    const unit = (rolling[2] || 's') as keyof typeof SECONDS;
    return { type: 'rolling', seconds: Number(rolling[1]) * SECONDS[unit] };
  }
  const calendar = /^([a-z]+)(?:@(.+))?$/.exec(text);
  if (!calendar || text.startsWith('rolling'))
    throw new WrongLine(
      `${flag} must be lifetime, a calendar unit such as month@Europe/Berlin, or rolling:24h, found '${text}'`,
    );
  return { type: 'calendar', unit: calendar[1], time_zone: calendar[2] ?? 'UTC' };
}

/** `org`, `team:NAME`, `user:ID`, `member:ID`, `tag:name=value`. */
export function subjectOf(text: string, types: readonly string[], flag: string): object {
  const at = text.indexOf(':');
  const type = at < 0 ? text : text.slice(0, at);
  if (!types.includes(type)) {
    throw new WrongLine(
      `${flag} must begin with one of ${types.join(', ')}, such as team:NAME, found '${text}'`,
    );
  }
  const rest = at < 0 ? null : text.slice(at + 1);
  if (rest === null || rest === '') return { type };
  if (type !== 'tag') return { type, id: rest };
  const [name = '', ...value] = rest.split('=');
  return value.length === 0 ? { type, name } : { type, name, value: value.join('=') };
}
