/** docs/COVERAGE.md, made from the table of operations. */
import type { Descriptor } from './descriptor.ts';
import { OPERATIONS } from './table.ts';

/** Returns the page as Markdown. */
export function coveragePage(): string {
  const rows = OPERATIONS.map(rowOf);
  return [
    '# Coverage',
    '',
    'Which operations of the OpenAI API pass, what bounds their cost before they are sent, and where their usage stands. What is',
    'not in this table is refused with 404 `unsupported_operation`: an operation whose price is not known would be a hole in',
    'every budget. Made from [`src/openai/operations`](../src/openai/operations/table.ts) by `npm run build:coverage`; a test',
    'holds it equal.',
    '',
    ...table(
      ['Operation', 'Request', 'Class', 'Bounded by', 'Usage stands in', 'Written in', 'Removed'],
      rows,
    ),
    '',
    'A class is _metered_ (held before it is sent, settled from its usage) or _free_ (costs nothing, but counts as a request).',
    'Fields are written in only where the client left them out: an output limit as [LIMITS.md](LIMITS.md) says, the service',
    'tier `default` for a missing, null or `auto` one, and the request for a usage chunk, which the client then does not see.',
    '',
  ].join('\n');
}

function rowOf(operation: Descriptor): string[] {
  const { name, method, path } = operation;
  return [
    `\`${name}\``,
    `\`${method} /v1${path}\``,
    operation.class + (operation.reason === null ? '' : `: ${operation.reason}`),
    boundOf(operation),
    usageOf(operation),
    writtenBy(operation)
      .map((field) => `\`${field}\``)
      .join(', '),
    operation.usage?.stream === 'chunk' ? 'usage chunk and `usage: null` not asked for' : '',
  ];
}

function boundOf(operation: Descriptor): string {
  const { bound, inputAtMostModelMaximum, usage, outputLimitField, defaultOutputTokens } = operation;
  if (bound === null) return '';
  const input = inputAtMostModelMaximum
    ? "input: its bytes, at most the model's maximum"
    : "input: its bytes; with images the model's maximum";
  if (usage === null || usage.members.output === null) return input;
  const otherwise = defaultOutputTokens === null ? '' : `, ${defaultOutputTokens} if none,`;
  return `${input}; output: \`${outputLimitField}\`${otherwise} × choices`;
}

function usageOf({ usage }: Descriptor): string {
  if (usage === null) return '';
  const json = `\`usage.${usage.members.input}\` …`;
  if (usage.stream === 'chunk') return `${json}; of a stream its usage chunk`;
  return usage.stream === 'terminal_event' ? `${json}; of a stream its last event` : json;
}

function writtenBy({ outputLimitField, hasServiceTier, usage }: Descriptor): string[] {
  const fields = outputLimitField === null ? [] : [outputLimitField as string];
  if (usage?.answer === 'output') fields.push('max_tool_calls');
  if (hasServiceTier) fields.push('service_tier');
  return usage?.stream === 'chunk' ? [...fields, 'stream_options.include_usage'] : fields;
}

/** The lines of a table with columns as wide as their longest cell. */
function table(head: string[], rows: string[][]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}
