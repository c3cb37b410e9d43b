/** docs/COVERAGE.md, made from the table of operations. */
import { BODY_OBJECTS } from '../named.ts';
import type { Descriptor } from './descriptor.ts';
import { OPERATIONS } from './table.ts';

/**
 * Returns the page as Markdown.
 * @param suite docs/sdk-suite.txt: which tests of the official client do not pass, and why
 */
export function coveragePage(suite: string): string {
  const served = OPERATIONS.filter(({ reason }) => reason === null);
  return [
    '# Coverage',
    '',
    'Which operations of the OpenAI API pass, what bounds their cost before they are sent, where their usage stands, and why the',
    'others are refused: with 404 `unsupported_operation`, before anything is held or sent. So is what is in no table here: an',
    'operation whose price is not known would be a hole in every budget. Made from',
    '[`src/openai/operations`](../src/openai/operations/table.ts) by `npm run build:coverage`; tests hold it equal, and hold the',
    'tables to the specification of the API (2.3.0) and to its generated client (openai 7.57.0 on npm).',
    '',
    '## What costs money',
    '',
    ...table(
      ['Operation', 'Request', 'Bounded by', 'Usage stands in', 'Written in', 'Removed'],
      served.filter((operation) => operation.class === 'metered').map(rowOf),
    ),
    '',
    'It is held before it is sent, and settled from its usage. Fields are written in only where the client left them out: an',
    'output limit as [LIMITS.md](LIMITS.md) says, the service tier `default` for a missing, null or `auto` one, the model that the',
    'API documents for images (`gpt-image-1.5` into the tool `image_generation`), and the request for a usage chunk, which the client',
    'then does not see. Speech of models that are',
    'billed by tokens is asked for as events, which alone tell them; a client that wants audio gets the bytes that they carry, with',
    'the type of its format. Ids of stored responses, conversations, items and files in the body must',
    "be the team's own.",
    '',
    '## What goes on after its response',
    '',
    ...table(
      ['Operation', 'Request', 'Held at, when it is asked for', 'Settled, when it ends, from'],
      served.filter((operation) => operation.class === 'job').map(jobRowOf),
    ),
    '',
    'It is held before it is sent, followed by the gateway whether or not its client comes back, and settled once',
    '([LIMITS.md](LIMITS.md)). What it makes belongs to its team: the job, its files, a trained model. So is a response with',
    '`background`, streamed or not; its stream may be read again, free of charge, with `stream` and `starting_after`.',
    '',
    '## What is free',
    '',
    ...table(
      [
        'Operation',
        'Request',
        'Must be the team’s',
        'Becomes the team’s',
        'Query that is sent on',
        'Removed',
      ],
      served.filter((operation) => operation.class === 'free').map(freeRowOf),
    ),
    '',
    'It costs nothing, but counts as a request. An object is recorded with the team that makes it before its id leaves; a name of',
    "another team's is 404 `not_found`, in the path, in the query of a list and in the body:",
    `${Object.keys(BODY_OBJECTS).map(code).join(', ')}, and references to items. What all teams share can be read by all of them`,
    'and changed by none ([ADMIN.md](ADMIN.md)). Bodies of files are sent on as they come, up to the most that the API takes.',
    'A grader passes that compares texts by itself; one that asks models or runs code is 400 `unbounded_request`.',
    '',
    '## What is refused',
    '',
    ...refusedLines(),
    ...suiteLines(suite),
  ].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}

function rowOf(operation: Descriptor): string[] {
  const { name, method, path } = operation;
  return [
    code(name),
    code(`${method} /v1${path}`),
    boundOf(operation),
    usageOf(operation),
    writtenBy(operation).map(code).join(', '),
    removedBy(operation),
  ];
}

function removedBy({ name, usage }: Descriptor): string {
  if (name === 'audio.speech') return 'the events around audio that was not asked for as events';
  return usage?.stream === 'chunk' ? 'usage chunk and `usage: null` not asked for' : '';
}

/** By the kind of object that a job is upstream. */
const JOB_MONEY: Readonly<Record<string, readonly [held: string, settled: string]>> = {
  batch: [
    'the lines of its file, each as a call of its own, at the price of a batch',
    '`usage` of the lines of its output file',
  ],
  eval_run: [
    'its items × what the model of the run is asked, and what models of the eval are asked that grade: input by bytes, output by its limit or the model’s most',
    '`per_model_usage`',
  ],
  fine_tuning_job: [
    'tokens of its file × epochs, or the hours of `x-tollgate-max-hours`',
    '`trained_tokens`, or the time of its loop',
  ],
};

function jobRowOf({ name, method, path, makes }: Descriptor): string[] {
  return [code(name), code(`${method} /v1${path}`), ...(JOB_MONEY[makes?.kind ?? ''] ?? ['', ''])];
}

function freeRowOf({
  name,
  method,
  path,
  pathObjects,
  makes,
  query,
  lists,
  listsModels,
}: Descriptor): string[] {
  const removed =
    lists !== null ? 'objects of other teams' : listsModels ? 'models that the key may not use' : '';
  return [
    code(name),
    code(`${method} /v1${path}`),
    Object.values(pathObjects).join(', '),
    makes?.kind ?? '',
    query === null ? (method === 'GET' ? 'all of it' : '') : query.map(code).join(', '),
    removed,
  ];
}

/** A list for each reason, in the order of the table. */
function refusedLines(): string[] {
  const lists = new Map<string, Map<string, string[]>>();
  for (const { method, path, reason } of OPERATIONS) {
    if (reason === null) continue;
    const title = `**${reason}**`;
    const paths = lists.get(title) ?? new Map<string, string[]>();
    lists.set(title, paths);
    paths.set(path, [...(paths.get(path) ?? []), method]);
  }
  return [...lists].flatMap(([title, paths]) => [
    title,
    '',
    ...[...paths].map(([path, methods]) => `- ${code(`/v1${path}`)} ${methods.join(' ')}`),
    '',
  ]);
}

/** The tests that pass directly and not through the gateway, by reason. */
function suiteLines(suite: string): string[] {
  const [head = '', ...lines] = suite.trimEnd().split('\n');
  const byReason = Map.groupBy(lines, (line) => line.slice(line.indexOf(' | ') + 3));
  const most = [...byReason].sort(([a, ofA], [b, ofB]) => ofB.length - ofA.length || (a < b ? -1 : 1));
  return [
    '## The official client’s own tests',
    '',
    `${head.replace(/^# (\S+) (\S+): of/, 'Generated tests of [openai-node]($1) $2: of')}, with prices set, each object that they name`,
    'the team’s own, and a server behind it that answers every operation (`npm run test:sdk`). Those that pass directly alone:',
    '',
    ...most.flatMap(([reason, names]) => [`**${reason}**`, '', ...namesOf(names), '']),
  ];
}

/** One line for each of their files. */
function namesOf(lines: string[]): string[] {
  const byFile = Map.groupBy(lines, (line) => line.slice(0, line.indexOf(': ')));
  return [...byFile].map(([file, tests]) => {
    const names = tests.map((line) => code(line.slice(file.length + 2, line.indexOf(' | '))));
    return `- ${file}: ${names.join(', ')}`;
  });
}

function boundOf(operation: Descriptor): string {
  const { bound, inputAtMostModelMaximum, usage, outputLimitField, defaultOutputTokens } = operation;
  if (bound === null) return '';
  if (operation.pricedAs === 'container') return '`memory_limit`: a session of 20 minutes';
  if (operation.pricedAs === 'content_provenance_check')
    return 'a check, at the price that an administrator has given `content_provenance_check`: none is published';
  if (operation.pricedAs === 'vector_store') return 'a GiB for a day, of which nothing is taken';
  const input = inputAtMostModelMaximum
    ? "input: its bytes, at most the model's maximum"
    : "input: its bytes; with images the model's maximum";
  if (usage?.media !== undefined) return MEDIA_BOUNDS[operation.name] ?? '';
  if (usage === null || usage.members.output === null) return input;
  const otherwise = defaultOutputTokens === null ? '' : `, ${defaultOutputTokens} if none,`;
  return `${input}; output: \`${outputLimitField}\`${otherwise} × choices`;
}

/** As LIMITS.md explains. */
const MEDIA_BOUNDS: Readonly<Record<string, string>> = {
  'audio.speech': 'characters of `input`; tokens by its bytes and `speed`',
  'audio.transcriptions': "the audio's length in the file, and what can be said in it",
  'audio.translations': "the audio's length in the file",
  'realtime.responses':
    'the conversation, by what was reported of it and what came since, at most the window; output: `max_output_tokens`',
  'realtime.transcriptions': 'the seconds of audio in the buffer, and what can be said in them',
  'realtime.translations': 'each minute of audio, before it is sent',
  'images.generations': '`n` × `size`, `quality` and `partial_images`; the prompt’s bytes',
  'images.edits':
    '`n` × `size`, `quality` and `partial_images`; pixels of each input image; the prompt’s bytes',
  'images.variations': '`n` × `size`',
};

/** What is billed where a response of media tells no usage. */
const UNREPORTED = {
  images: '; else the images of the answer',
  duration: "; else its `duration`, or the file's",
} as const;

function usageOf({ usage }: Descriptor): string {
  if (usage === null) return '';
  const json = `\`usage.${usage.members.input}\` …`;
  if (usage.media !== undefined) {
    const { unreported } = usage.media;
    const otherwise = unreported === null ? '; else the characters' : UNREPORTED[unreported];
    return `${json}${usage.doneEvent === undefined ? '' : `, of a stream its \`${usage.doneEvent}\``}${otherwise}`;
  }
  if (usage.stream === 'chunk') return `${json}; of a stream its usage chunk`;
  return usage.stream === 'terminal_event' ? `${json}; of a stream its last event` : json;
}

function writtenBy({ outputLimitField, hasServiceTier, usage, defaultModel, name }: Descriptor): string[] {
  const fields = outputLimitField === null ? [] : [outputLimitField as string];
  if (defaultModel !== null) fields.push('model');
  if (name === 'audio.speech') fields.push('stream_format');
  if (usage?.answer === 'output') fields.push('max_tool_calls');
  if (outputLimitField === 'max_output_tokens') fields.push('tools[].model');
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
