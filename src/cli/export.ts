/** `tollgate export KIND`: downloads by their names, to stdout or a file. */
import { createClient, fetchApi } from './client.ts';
import type { Action, Api } from './document.ts';
import { readFlags } from './flags.ts';
import { actionHelp } from './help.ts';
import { Names } from './names.ts';
import { findTarget } from './profile.ts';
import { nounOf, reporting, save } from './run.ts';
import { type CliWorld, WrongLine } from './world.ts';

/** Runs `export KIND [ID] [options]`; returns its exit code. */
export async function runExport(args: readonly string[], world: CliWorld): Promise<number> {
  return reporting('export', world, async () => {
    const wanted = args.includes('--help') || args.includes('-h');
    const kind = args[0]?.startsWith('-') ? undefined : args[0];
    const at = (name: string) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
    const target = findTarget({ gateway: at('--gateway'), profile: at('--profile') }, world);
    const api = await fetchApi(target, world);
    const kinds = exportsOf(api);
    // Calls are events in the admin API; a report in several formats is first of all a table.
    const action = kind && (kinds.get(kind) ?? kinds.get(nounOf(kind)) ?? kinds.get(`${kind}.csv`));
    if (!action) {
      const list = overview(kinds);
      if (kind === undefined && wanted) {
        world.stdout(list);
        return 0;
      }
      throw new WrongLine(
        `export ${kind === undefined ? 'needs a kind' : `: there is no '${kind}'`}\n\n${list}`,
      );
    }
    const shown = { ...action, verb: kind ?? '' };
    if (wanted) {
      world.stdout(actionHelp('export', shown, api));
      return 0;
    }
    const { common, operands, query } = readFlags(args.slice(1), { ...shown, noun: 'export' }, api.schemas);
    if (operands.length !== (action.takesId ? 1 : 0))
      throw new WrongLine(`export ${kind} takes ${action.takesId ? 'one ID' : 'flags alone'}`);
    const client = createClient(target);
    const names = new Names(client, api);
    const id = action.takesId ? await names.idOf(action.noun, operands[0] ?? '') : '';
    const path = action.path.replace(/\{\w+\}/, encodeURIComponent(id));
    return save(
      await client.download({ method: 'GET', path, query: await names.resolve(query) }),
      common.out,
      world,
    );
  });
}

/**
 * Downloads by the last word of their path, without what says the format: `events` of events.csv. Of several of the same word
 * that of teams has it alone, the others their noun before it: `department-statement`. What is called `export` is named by its noun.
 */
export function exportsOf(api: Api): Map<string, Action> {
  const downloads = api.actions.filter((action) => action.method === 'GET' && action.downloads.length > 0);
  const lastOf = ({ path, noun }: Action) => {
    const last = path.split('/').at(-1) ?? '';
    return last === 'export' ? noun : last;
  };
  const named = downloads.map((action) => {
    const last = lastOf(action);
    const [stem = last, format] = last.split('.');
    const same = downloads.filter((other) => lastOf(other).split('.')[0] === stem);
    if (same.length === 1) return [stem, action] as const;
    if (format !== undefined || action.noun === 'teams') return [last, action] as const;
    return [`${action.noun.replace(/s$/, '')}-${stem}`, action] as const;
  });
  return new Map(named);
}

function overview(kinds: Map<string, Action>): string {
  const rows = [...kinds].map(
    ([kind, action]) => `  ${`${kind}${action.takesId ? ' ID' : ''}`.padEnd(24)}${action.summary}`,
  );
  return `Usage: tollgate export KIND [--out FILE] [options]

${rows.join('\n')}

'tollgate export KIND --help' lists its options.
`;
}
