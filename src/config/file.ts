/**
 * The configuration file: the upstreams, and how calls are spread over them. Owns: its schema, where each fault in it
 * stands, and secrets from the environment or from files. Does not own: reading the file itself, nor when it is read again
 * (main/upstreams.ts). Invariants: all faults are reported together; none repeats a value, because it may be a secret.
 */
import { type Document, isNode, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { issueText } from '../domain/issue-text.ts';
import { parseUsd } from '../domain/money.ts';
import { CLIENT_GONE, ENCODINGS, LIMIT_FIELDS } from '../domain/upstream.ts';
import { KEPT_IN_FILES, reportTogether } from './file-together.ts';
import { webhookSecret } from './readers.ts';

/** One fault of the file. */
export interface FileProblem {
  /** As `upstreams[1].base_url`; empty: the whole file. */
  path: string;
  /** From 1. */
  line: number;
  problem: string;
}

/** What the file may ask of its surroundings. */
export interface FileSources {
  env: Record<string, string | undefined>;
  /** Returns a secret that stands in Postgres. Throws with what is wrong with it: `does not exist`. */
  readStored(name: string): string;
  /** Returns the text of a file that holds a secret. Throws where it cannot be read. */
  readSecret(path: string): string;
}

/** `azure` keeps OpenAI's rules, and has its own header for the key and its own paths. */
const UPSTREAM_KINDS = ['openai', 'azure', 'compatible'] as const;

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
/** What the gateway itself sets, or what frames a message. */
const OWN_HEADERS = new Set(
  'authorization api-key host connection content-length content-type transfer-encoding accept-encoding cookie upgrade te trailer expect x-client-request-id'.split(
    ' ',
  ),
);
const HEADER_TEXT = /^[\x20-\x7e]{0,2048}$/;
/** A blank inside a key is a copying accident. */
const KEY = /^[!-~]{1,4096}$/;
const SIGNING = webhookSecret('');

const modelName = z.string().min(1).max(256);
const timeoutMs = (usual: number) => z.int().min(1).max(3_600_000).default(usual);
const usdText = z
  .string('must be a decimal string of USD such as "1.25": numbers are not exact')
  .refine((text) => (parseUsd(text) ?? -1n) >= 0n, 'must be a decimal amount of USD such as "1.25"');

const baseUrl = z.string().refine((text) => {
  const url = URL.parse(text);
  const isPlain = url !== null && !url.username && !url.password && !url.search && !url.hash;
  return isPlain && (url.protocol === 'http:' || url.protocol === 'https:');
}, 'must be an http or https URL without credentials, query or fragment');

const ownPrice = z.strictObject({
  input: usdText.optional(),
  cached_input: usdText.optional(),
  cache_write: usdText.optional(),
  output: usdText.optional(),
  second: usdText.optional(),
  max_input_tokens: z.int().min(1).max(100_000_000).optional(),
  max_output_tokens: z.int().min(1).max(100_000_000).optional(),
});

const upstream = z.strictObject({
  name: z.string().regex(NAME, 'must have 1 to 32 characters of a-z, 0-9 and -'),
  kind: z.enum(UPSTREAM_KINDS).default('openai'),
  base_url: baseUrl,
  key: z.string().regex(KEY, 'must be a key without blanks').optional(),
  key_file: z.string().min(1).optional(),
  webhook_secret: z
    .string()
    .refine((text) => SIGNING.read(text) !== null, `must be ${SIGNING.wanted}`)
    .optional(),
  webhook_secret_file: z.string().min(1).optional(),
  admin_key: z.string().regex(KEY, 'must be a key without blanks').optional(),
  api_version: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'must be a version such as 2024-10-21 or preview')
    .optional(),
  headers: z
    .record(
      z
        .string()
        .regex(HEADER_NAME, 'must be the name of a header')
        .refine((name) => !OWN_HEADERS.has(name.toLowerCase()), 'is not yours to set'),
      z.string().regex(HEADER_TEXT, 'must be one line of ASCII'),
    )
    .default({}),
  timeouts: z
    .strictObject({
      connect_ms: timeoutMs(10_000),
      first_byte_ms: timeoutMs(600_000),
      idle_ms: timeoutMs(600_000),
      call_ms: z.int().min(1).max(3_600_000).optional(),
    })
    .prefault({}),
  connections: z.int().min(1).max(65_535).default(512),
  models: z.array(modelName).min(1).max(1_000).optional(),
  model_names: z.record(modelName, modelName).default({}),
  teams: z.array(z.string().min(1).max(200)).min(1).max(1_000).optional(),
  weight: z.int().min(0).max(1_000).default(1),
  price_percent: z.int().min(0).max(10_000).optional(),
  prices: z.record(modelName, ownPrice).default({}),
  has_responses: z.boolean().default(true),
  has_websockets: z.boolean().optional(),
  usage_in_streams: z.boolean().default(true),
  limit_fields: z.enum(LIMIT_FIELDS).default('both'),
  fields: z
    .array(z.string().regex(/^[A-Za-z_][\w.-]{0,99}$/))
    .max(100)
    .default([]),
  max_output_tokens: z.int().min(1).max(100_000_000).optional(),
  tokenizer: z.enum(ENCODINGS).optional(),
  client_gone: z.enum(CLIENT_GONE).optional(),
});

const file = z.strictObject({
  routing: z
    .strictObject({
      by: z.enum(['weight', 'price']).default('weight'),
      attempts: z.int().min(1).max(8).default(3),
    })
    .prefault({}),
  upstreams: z.array(upstream).min(1).max(32),
});

export type FileSettings = z.infer<typeof file>;
export type UpstreamSettings = FileSettings['upstreams'][number];

/** Reads the text of the file, or returns every fault in it. */
export function readFileSettings(text: string, sources: FileSources): FileSettings | FileProblem[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  if (document.errors.length > 0) {
    return document.errors.map(({ pos, code }) => ({
      path: '',
      line: lineAt(pos[0]),
      problem: `is not valid YAML (${code})`,
    }));
  }
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let length = path.length; length >= 0; length--) {
      const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return lineAt(node.range[0]);
    }
    return 1;
  };
  const problems: FileProblem[] = [];
  const report = (path: readonly PropertyKey[], problem: string) =>
    problems.push({ path: pathText(path), line: lineOf(path), problem });
  const wrongAliases = aliasProblems(document, lineAt);
  if (wrongAliases.length > 0) return wrongAliases;
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    return [{ path: '', line: 1, problem: 'is not valid YAML: its aliases (*name) stand for too much' }];
  }
  const plain = withSecrets(content, [], sources, report);
  const read = file.safeParse(plain, { error: issueText });
  for (const issue of read.error?.issues ?? []) report(issue.path, textOf(issue));
  reportTogether(plain, report);
  if (!read.success || problems.length > 0) return problems.sort((a, b) => a.line - b.line);
  return read.data;
}

/** Aliases that name nothing which stands before them: the parser takes these, and only reading the values fails. */
function aliasProblems(document: Document, lineAt: (offset: number) => number): FileProblem[] {
  const problems: FileProblem[] = [];
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined)
        problems.push({
          path: '',
          line: lineAt(alias.range?.[0] ?? 0),
          problem: 'is not valid YAML: an alias (*name) without its anchor (&name) before it',
        });
    },
  });
  return problems;
}

/** What is wrong with the name of a member stands one level below. */
function textOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
}

type Report = (path: readonly PropertyKey[], problem: string) => void;

/** `${secret:NAME}` is a secret in Postgres. */
const STORED = 'secret:';

/** Whether the text of a file may name secrets in Postgres. */
export function namesStored(text: string): boolean {
  return text.includes(`\${${STORED}`);
}

function stored(name: string, path: PropertyKey[], sources: FileSources, report: Report): string {
  try {
    return sources.readStored(name);
  } catch (error) {
    report(path, `names the secret ${name.slice(0, 64)}, which ${(error as Error).message}`);
    return 'x';
  }
}

/** Puts secrets where the file names them: `${NAME}` and `${secret:NAME}` in any text, and {@link KEPT_IN_FILES}. */
function withSecrets(value: unknown, path: PropertyKey[], sources: FileSources, report: Report): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
      if (name.startsWith(STORED)) return stored(name.slice(STORED.length), path, sources, report);
      const found = sources.env[name];
      if (!found) report(path, `names the environment variable ${name.slice(0, 64)}, which is not set`);
      // What is missing is reported once, here.
      return found || 'x';
    });
  }
  if (Array.isArray(value)) return value.map((each, at) => withSecrets(each, [...path, at], sources, report));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(
    ([name, each]) => [name, withSecrets(each, [...path, name], sources, report)] as const,
  );
  const object: Record<string, unknown> = Object.fromEntries(members);
  for (const [name, from] of KEPT_IN_FILES) {
    if (typeof object[from] !== 'string' || object[name] !== undefined) continue;
    try {
      object[name] = sources.readSecret(object[from]).trim();
      delete object[from];
    } catch {
      report([...path, from], 'names a file that cannot be read');
    }
  }
  return object;
}

function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path)
    text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  return text;
}

/** All faults as text for a terminal, one line each. */
export function formatFileProblems(name: string, problems: readonly FileProblem[]): string {
  return problems
    .map(({ path, line, problem }) => `${name}:${line}: ${path === '' ? 'the file' : path} ${problem}`)
    .join('\n');
}
