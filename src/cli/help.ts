/** The help of the commands for a gateway, made of what its admin API says of itself. Pure. */
import {
  type Action,
  type Api,
  alternatives,
  type Field,
  isNeeded,
  kindsOf,
  resolved,
  roleScopeOf,
} from './document.ts';
import { COMMON_HELP, flagOf, isSwitch } from './flags.ts';

/** Of one noun: its actions. */
export function nounHelp(command: string, noun: string, api: Api): string {
  const actions = api.actions.filter((action) => action.noun === noun);
  const rows = actions.map((action) => [usageOf(command, action), action.summary] as const);
  return `Usage: tollgate ${command} ${actions.length > 1 ? '<action> ' : ''}[options]

${columns(rows)}

${columns(COMMON_HELP)}

'tollgate ${command} <action> --help' lists its fields. In the place of an id the name will do.
`;
}

/** Of one action: its fields. */
export function actionHelp(command: string, action: Action, api: Api): string {
  const fields = action.fields.filter(({ name }) => name !== 'limit' || action.verb !== 'list');
  const rows = fields.map((field) => [usageOfField(field, api), describe(field, api)] as const);
  const isList = action.fields.some(({ name }) => name === 'after');
  const more: [string, string][] = [
    ...(isList
      ? ([
          ['--limit N', 'so many rows at most (100)'],
          ['--all', 'all rows'],
        ] as [string, string][])
      : []),
    ...(action.method === 'GET' && action.downloads.length === 0
      ? ([['--columns A,B', 'these columns of the table']] as [string, string][])
      : []),
    ...(action.downloads.length > 0
      ? ([['--out FILE', 'write to this file instead of stdout']] as [string, string][])
      : []),
  ];
  return `Usage: tollgate ${usageOf(command, action)} [options]

${action.summary}.

${columns([...rows, ...more, ...COMMON_HELP])}
`;
}

function usageOf(command: string, action: Action): string {
  const id = action.takesId ? ' ID' : '';
  return `${command} ${action.verb}${id}`;
}

function usageOfField(field: Field, { schemas }: Api): string {
  const flag = `--${flagOf(field)}`;
  if (isSwitch(field, schemas)) return flag;
  return `${flag} ${wordOf(field, schemas)}`;
}

function wordOf({ schema }: Field, schemas: Api['schemas']): string {
  const choices = alternatives(schema, schemas);
  const [first] = choices;
  const kinds = kindsOf(choices, schemas);
  if (kinds.has('lifetime')) return 'WINDOW';
  if (kinds.has('org')) return 'SUBJECT';
  if (first?.enum && first.enum.length <= 6) return first.enum.join('|');
  const list = choices.find((choice) => choice.type === 'array');
  if (list) return roleScopeOf(alternatives(list.items ?? {}, schemas)) ? 'ROLE@SCOPE,…' : 'A,B';
  if (first?.type === 'object') return 'JSON';
  return first?.type === 'integer' || first?.type === 'number' ? 'N' : 'TEXT';
}

function describe(field: Field, { schemas }: Api): string {
  const whole = resolved(field.schema, schemas);
  const parts = [
    whole.description ?? '',
    whole.default === undefined || whole.default === null ? '' : `default ${JSON.stringify(whole.default)}`,
    isNeeded(field, schemas) ? 'required' : '',
  ];
  return parts.filter((part) => part !== '').join('; ');
}

/** Wider ones, such as long choices, take a line of their own. */
const WIDTH_MAX = 34;

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(WIDTH_MAX, Math.max(...rows.map(([left]) => left.length))) + 2;
  const line = (left: string, right: string) => `  ${left.padEnd(width)}${right}`.trimEnd();
  return rows
    .map(([left, right]) => (left.length < width ? line(left, right) : `  ${left}\n${line('', right)}`))
    .join('\n');
}
