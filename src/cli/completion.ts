/**
 * Completion in bash, zsh and fish. The scripts ask `tollgate complete -- WORDS…`, which knows the commands and what the
 * gateway offered when it was last asked; nothing is sent for a completion.
 */
import { cachedApi } from './client.ts';
import { type Action, type Api, alternatives } from './document.ts';
import { exportsOf } from './export.ts';
import { flagOf } from './flags.ts';
import { findTarget, readProfiles } from './profile.ts';
import { PROFILE_ACTIONS } from './profile-command.ts';
import { nounOf } from './run.ts';
import { type CliWorld, WrongLine } from './world.ts';

const SCRIPTS: Record<string, string> = {
  bash: `_tollgate() {
  local IFS=$'\\n'
  COMPREPLY=($(tollgate complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _tollgate tollgate
`,
  zsh: `#compdef tollgate
_tollgate() {
  local -a found
  found=("\${(@f)$(tollgate complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a found || _files
}
compdef _tollgate tollgate
`,
  fish: `complete -c tollgate -f -a '(tollgate complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
};

export const COMPLETION_HELP = `Usage: tollgate completion bash|zsh|fish

Prints a script for that shell:

  bash   tollgate completion bash > ~/.local/share/bash-completion/completions/tollgate
  zsh    tollgate completion zsh > "\${fpath[1]}/_tollgate"
  fish   tollgate completion fish > ~/.config/fish/completions/tollgate.fish
`;

/** @throws WrongLine */
export function completionScript(shell: string | undefined): string {
  const script = shell !== undefined && Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined) throw new WrongLine(`completion: name the shell\n\n${COMPLETION_HELP}`);
  return script;
}

/** Returns what may stand in the place of the last word. */
export function completionsOf(words: readonly string[], world: CliWorld): string[] {
  const last = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  return candidates(before, last, world)
    .filter((word) => word.startsWith(last))
    .toSorted();
}

function candidates(before: readonly string[], last: string, world: CliWorld): string[] {
  const [command] = before;
  if (command === undefined)
    return world.commands.filter((name) => name !== 'complete').map((name) => name.split(' ')[0] ?? name);
  if (before.at(-1) === '--profile') return profileNames(world);
  return localWords(command, before, world) ?? gatewayWords(command, before, last, world);
}

/** What may stand after a command that asks no gateway; null: it does. */
function localWords(command: string, before: readonly string[], world: CliWorld): string[] | null {
  const isFirst = before.length === 1;
  if (command === 'completion') return isFirst ? Object.keys(SCRIPTS) : [];
  if (command === 'profile') {
    if (isFirst) return [...PROFILE_ACTIONS];
    return before.length === 2 && before[1] !== 'list' && before[1] !== 'add'
      ? profileNames(world)
      : ['--url'];
  }
  const longer = world.commands.filter((name) => name.startsWith(`${command} `));
  return isFirst && longer.length > 0 ? longer.map((name) => name.slice(command.length + 1)) : null;
}

function gatewayWords(command: string, before: readonly string[], last: string, world: CliWorld): string[] {
  const api = knownApi(before, world);
  if (api === null) return [];
  const verbs = verbsOf(command, api);
  const shown = verbs.get(before[1] ?? '') ?? verbs.get('list') ?? [];
  const fields = shown.flatMap((action) => action.fields);
  const open = fields.find((field) => `--${flagOf(field)}` === before.at(-1));
  if (open)
    return alternatives(open.schema, api.schemas).flatMap((choice) => (choice.enum ?? []).map(String));
  if (before.length === 1 && !last.startsWith('-')) return [...verbs.keys()];
  const own = command === 'export' ? ['--out'] : ['--json'];
  return [
    ...new Set([...fields.map((field) => `--${flagOf(field)}`), ...own, '--profile', '--gateway', '--help']),
  ];
}

/** By the word that asks for it, what can be done with a noun. */
function verbsOf(command: string, api: Api): Map<string, Action[]> {
  if (command === 'export') return new Map([...exportsOf(api)].map(([kind, action]) => [kind, [action]]));
  const actions = api.actions.filter(({ noun }) => noun === nounOf(command));
  const verbs = Map.groupBy(actions, ({ verb }) => verb);
  // Its value comes from stdin (secrets.ts).
  return command === 'secrets' ? new Map([...verbs, ['set', []]]) : verbs;
}

function profileNames(world: CliWorld): string[] {
  try {
    return Object.keys(readProfiles(world).profiles);
  } catch {
    return [];
  }
}

function knownApi(before: readonly string[], world: CliWorld): Api | null {
  const flagValue = (flag: string) => (before.includes(flag) ? before[before.indexOf(flag) + 1] : undefined);
  try {
    const { url } = findTarget({ gateway: flagValue('--gateway'), profile: flagValue('--profile') }, world);
    return cachedApi(url, world);
  } catch {
    return null;
  }
}
