/**
 * Configuration. Owns: every setting's name, default, meaning and reading. Does not own: the environment, which is
 * an argument. Invariants: all problems are reported together; no fault repeats a value, because any of them may be a
 * secret in the wrong place; an empty value counts as unset; the result is frozen.
 * docs/CONFIG.md lists the same table (held equal by a test).
 */

import { CONTENTS } from './config/contents.ts';
import { NOTICES } from './config/notices.ts';
import {
  boolean,
  databaseUrl,
  fieldNames,
  hoursOf,
  integer,
  networks,
  oneOf,
  origins,
  path,
  secret,
  upstreamUrl,
  webhookSecret,
  word,
  workers,
} from './config/readers.ts';
import { SECRETS } from './config/secrets.ts';
import { type Setting, setting } from './config/setting.ts';
import { NEEDED, SIGN_IN } from './config/sign-in.ts';
import { UNKNOWN_REASONS } from './domain/outcome.ts';
import { CLIENT_GONE, ENCODINGS, INPUT_COUNTING, LIMIT_FIELDS, PROFILES } from './domain/upstream.ts';

/** One setting that cannot be used. */
export interface ConfigProblem {
  setting: string;
  /** What is wrong, never with the value itself. */
  problem: string;
  example: string;
}

/** Every setting, by its name in the Config. Milliseconds and bytes are whole numbers. */
export const SETTINGS = {
  port: setting('PORT', '8787', 'Port to listen on; 0 takes a free one.', integer(0, 65_535, '8787')),
  host: setting('HOST', '127.0.0.1', 'Address to listen on; containers set `0.0.0.0`.', word('0.0.0.0')),
  tlsCert: setting(
    'TOLLGATE_TLS_CERT',
    null,
    'File with the certificate, and those between it and its root, in PEM; read again when it changes. With `TOLLGATE_TLS_KEY`. Unset: plain HTTP.',
    path('/etc/tollgate/tls.crt'),
  ),
  tlsKey: setting(
    'TOLLGATE_TLS_KEY',
    null,
    "File with the certificate's private key, in PEM, without a passphrase. With `TOLLGATE_TLS_CERT`.",
    path('/etc/tollgate/tls.key'),
  ),
  openaiApiKey: setting(
    'OPENAI_API_KEY',
    null,
    "The upstream's key. Unset: calls get `upstream_not_configured`.",
    secret(1, 'sk-proj-…'),
  ),
  openaiBaseUrl: setting(
    'OPENAI_BASE_URL',
    'https://api.openai.com/v1',
    'Where the upstream API is.',
    upstreamUrl('https://api.openai.com/v1'),
  ),
  configFile: setting(
    'TOLLGATE_CONFIG_FILE',
    null,
    'File with several upstreams (docs/UPSTREAMS.md), read again when it changes. Unset: one upstream, from `OPENAI_API_KEY`.',
    path('/etc/tollgate/tollgate.yaml'),
  ),
  upstreamProfile: setting(
    'TOLLGATE_UPSTREAM_PROFILE',
    'openai',
    "`openai`, or `compatible`: a server that speaks OpenAI's API and may not keep its rules (docs/UPSTREAMS.md).",
    oneOf(PROFILES, 'compatible'),
  ),
  upstreamLimitFields: setting(
    'TOLLGATE_UPSTREAM_LIMIT_FIELDS',
    'both',
    "Names under which a chat's output limit goes to a `compatible` upstream: `max_completion_tokens`, `max_tokens` or `both`.",
    oneOf(LIMIT_FIELDS, 'max_tokens'),
  ),
  upstreamFields: setting(
    'TOLLGATE_UPSTREAM_FIELDS',
    null,
    'Fields that pass to a `compatible` upstream beside those that Tollgate knows, separated by commas.',
    fieldNames('lora,documents'),
  ),
  upstreamMaxOutputTokens: setting(
    'TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS',
    null,
    'The most tokens that one answer of a `compatible` upstream can have: the length of its context. No higher limit is written in.',
    integer(1, 100_000_000, '8192'),
  ),
  upstreamTokenizer: setting(
    'TOLLGATE_UPSTREAM_TOKENIZER',
    null,
    `Tokeniser by which the text of a \`compatible\` upstream is counted: ${ENCODINGS.map((name) => `\`${name}\``).join(', ')}. Unset: by its bytes.`,
    oneOf(ENCODINGS, 'o200k_base'),
  ),
  inputCounting: setting(
    'TOLLGATE_INPUT_COUNTING',
    null,
    'How inputs are counted that would hold much of what is left: `encoding` (as published), `upstream` (its `/responses/input_tokens`), `both` or `off`. Unset: `encoding` for api.openai.com.',
    oneOf(INPUT_COUNTING, 'both'),
  ),
  clientGone: setting(
    'TOLLGATE_CLIENT_GONE',
    null,
    'What becomes of a call whose client leaves: `finish` (its cost is known) or `cancel`. Unset: `finish`, of a `compatible` upstream `cancel`.',
    oneOf(CLIENT_GONE, 'finish'),
  ),
  openaiAdminKey: setting(
    'OPENAI_ADMIN_KEY',
    null,
    "The upstream's admin key, used only to reconcile: it reads usage and costs. Unset: no reconciliation.",
    secret(1, 'sk-admin-…'),
  ),
  upstreamWebhookSecret: setting(
    'TOLLGATE_UPSTREAM_WEBHOOK_SECRET',
    null,
    "Secret of the upstream's webhooks at `/webhooks/upstream`, by which jobs are settled as they end (docs/UPSTREAMS.md). Unset: they are polled alone.",
    webhookSecret('whsec_… as the upstream shows it'),
  ),
  databaseUrl: setting(
    'DATABASE_URL',
    null,
    'The Postgres database. Unset: an embedded one in the data folder.',
    databaseUrl('postgres://tollgate:password@localhost:5432/tollgate'),
  ),
  readDatabaseUrl: setting(
    'TOLLGATE_READ_DATABASE_URL',
    null,
    "A read replica of the database, for the sums on the console's pages. Unset: the database itself.",
    databaseUrl('postgres://tollgate:password@replica:5432/tollgate'),
  ),
  pgBin: setting(
    'PG_BIN',
    null,
    "Folder of PostgreSQL's programs for the embedded database. Unset: those of the npm package, or Debian's.",
    path('/usr/lib/postgresql/18/bin'),
  ),
  dataDir: setting(
    'TOLLGATE_DATA_DIR',
    './data',
    'Folder of journals and the embedded database.',
    path('./data'),
  ),
  workers: setting(
    'TOLLGATE_WORKERS',
    '1',
    'Processes that serve the port together, each an instance of its own; `auto`: as many as there are cores.',
    workers(64, 'auto'),
  ),
  pgConnections: setting(
    'TOLLGATE_PG_CONNECTIONS',
    null,
    'Connections to Postgres at most, of all workers together; each needs 6. Unset: 14, or 6 for each worker if that is more.',
    integer(6, 10_000, '14'),
  ),
  runtimeRole: setting(
    'TOLLGATE_RUNTIME_ROLE',
    null,
    'Role of Postgres that serves: `tollgate migrate`, run as the owner of the tables, gives it its rights. Unset: the owner serves.',
    word('tollgate_runtime'),
  ),
  adminKey: setting(
    'TOLLGATE_ADMIN_KEY',
    null,
    'Bearer key of the admin API, at least 16 characters. Unset: made at first start and kept in the data folder.',
    secret(16, 'the output of: openssl rand -hex 32'),
  ),
  trustedProxies: setting(
    'TOLLGATE_TRUSTED_PROXIES',
    null,
    'Addresses and networks of the proxies in front, whose `x-forwarded-for` says who the client is. Unset: none.',
    networks('10.0.0.0/8,192.0.2.7'),
  ),
  metricsKey: setting(
    'TOLLGATE_METRICS_KEY',
    null,
    'Bearer key of `/metrics`, which shows spend. Unset: open on loopback only.',
    secret(16, 'the output of: openssl rand -hex 32'),
  ),
  defaultPlan: setting(
    'TOLLGATE_DEFAULT_PLAN',
    'free-tier',
    'Plan of a team made without one.',
    word('free-tier'),
  ),
  maxBodyBytes: setting(
    'TOLLGATE_MAX_BODY_BYTES',
    '20971520',
    'Largest request body; above it the response is `request_too_large`.',
    integer(1024, 268_435_456, '20971520'),
  ),
  maxBodyValues: setting(
    'TOLLGATE_MAX_BODY_VALUES',
    '500000',
    'Most values (strings, numbers, objects, arrays …) in a request body; above it the response is `body_too_complex`.',
    integer(1000, 10_000_000, '500000'),
  ),
  corsOrigins: setting(
    'TOLLGATE_CORS_ORIGINS',
    null,
    'Origins of web pages that may call the API, or `*` for all. Unset: none.',
    origins('https://app.example.com,http://localhost:3000'),
  ),
  bodyMemoryBytes: setting(
    'TOLLGATE_BODY_MEMORY_BYTES',
    '268435456',
    'Memory of all request bodies together, shared among teams; at least four times the largest body.',
    integer(4096, 68_719_476_736, '268435456'),
  ),
  memoryBytes: setting(
    'TOLLGATE_MEMORY_BYTES',
    null,
    "Memory that the gateway may take, all workers together; its heap follows. Unset: the container's limit.",
    integer(536_870_912, 549_755_813_888, '2147483648'),
  ),
  clientStallMs: setting(
    'TOLLGATE_CLIENT_STALL_MS',
    '60000',
    'A client that takes no byte of its response, or sends under 16 KiB of its request, for so long is cut off.',
    integer(1_000, 3_600_000, '60000'),
  ),
  sessionIdleMs: setting(
    'TOLLGATE_SESSION_IDLE_MS',
    '600000',
    'A WebSocket on which no response is under way, and no message comes, is closed after so long.',
    integer(1, 86_400_000, '600000'),
  ),
  sessionMs: setting(
    'TOLLGATE_SESSION_MS',
    '3600000',
    'A WebSocket is closed after so long, once the response on it has ended.',
    integer(1, 86_400_000, '3600000'),
  ),
  sessionsPerKey: setting(
    'TOLLGATE_SESSIONS_PER_KEY',
    '100',
    'WebSockets that one key may have open at once.',
    integer(1, 65_535, '100'),
  ),
  freeCallsPerMinute: setting(
    'TOLLGATE_FREE_CALLS_PER_MINUTE',
    '600',
    'Calls of operations that cost nothing (models, moderations) that a team may make in a minute, and requests to /v1/tollgate that a key may.',
    integer(1, 1_000_000, '600'),
  ),
  drainTimeoutMs: setting(
    'TOLLGATE_DRAIN_TIMEOUT_MS',
    '60000',
    'How long a stopping gateway lets calls in flight finish.',
    integer(0, 3_600_000, '60000'),
  ),
  upstreamTimeoutMs: setting(
    'TOLLGATE_UPSTREAM_TIMEOUT_MS',
    '600000',
    'Longest silence of the upstream: to its first byte, and between two.',
    integer(1, 3_600_000, '600000'),
  ),
  upstreamConnections: setting(
    'TOLLGATE_UPSTREAM_CONNECTIONS',
    '512',
    'Connections to the upstream at most; a team alone gets half of them, beside others less.',
    integer(1, 65_535, '512'),
  ),
  queueTimeoutMs: setting(
    'TOLLGATE_QUEUE_TIMEOUT_MS',
    '10000',
    'How long a call may wait for money that other calls hold, and for a connection to the upstream; 0 never waits.',
    integer(0, 60_000, '10000'),
  ),
  journalKeepHours: setting(
    'TOLLGATE_JOURNAL_KEEP',
    '24',
    'Hours for which journals are kept, to put back what a restored or promoted database has forgotten; 0: they are deleted.',
    integer(0, 8_760, '24'),
  ),
  eventsKeepMonths: setting(
    'TOLLGATE_EVENTS_KEEP_MONTHS',
    null,
    'Whole months for which usage events stay in the database; older ones are archived as files. Unset: all stay.',
    integer(2, 1_200, '13'),
  ),
  archiveDir: setting(
    'TOLLGATE_ARCHIVE_DIR',
    null,
    'Folder of archived events. Unset: `archive` in the data folder.',
    path('/srv/tollgate/archive'),
  ),
  grantsWait: setting(
    'TOLLGATE_GRANTS_WAIT',
    'false',
    'Whether money is lent only where a synchronous standby has each loan before it is used.',
    boolean(),
  ),
  leaseTtlMs: setting(
    'TOLLGATE_LEASE_TTL_MS',
    '60000',
    'How long calls go on, on what was lent before, while Postgres does not answer.',
    integer(1_000, 60_000, '60000'),
  ),
  jobPollMs: setting(
    'TOLLGATE_JOB_POLL_MS',
    '10000',
    'How often the upstream is asked how a training job, a batch or a background response stands.',
    integer(50, 600_000, '10000'),
  ),
  reconcileIntervalMs: setting(
    'TOLLGATE_RECONCILE_INTERVAL_MS',
    '300000',
    'How often unknown outcomes are looked at again.',
    integer(1_000, 86_400_000, '300000'),
  ),
  reconcileDelayMs: setting(
    'TOLLGATE_RECONCILE_DELAY_MS',
    '3600000',
    "How late usage may appear in the upstream's report; younger minutes are no evidence.",
    integer(0, 604_800_000, '3600000'),
  ),
  reconcileCallDurationMs: setting(
    'TOLLGATE_RECONCILE_CALL_DURATION_MS',
    '3600000',
    'The longest that the upstream may work on a call that was cut off.',
    integer(1_000, 21_600_000, '3600000'),
  ),
  reconcileFinalDays: setting(
    'TOLLGATE_RECONCILE_FINAL_DAYS',
    '3',
    "Days after which a day's reconciliation is final; until then it is computed again, as costs come late.",
    integer(1, 30, '3'),
  ),
  releaseUnknownAfterHours: setting(
    'TOLLGATE_RELEASE_UNKNOWN',
    null,
    'Unknown outcomes that are released at no cost without evidence: reason=hours, with commas. Unset: none.',
    hoursOf(UNKNOWN_REASONS, 'upstream_error=24,upstream_timeout=72'),
  ),
  ...CONTENTS,
  ...SECRETS,
  ...SIGN_IN,
  ...NOTICES,
} as const;

type ValueOf<S> = S extends Setting<infer T, infer D> ? (D extends string ? T : T | null) : never;
export type Config = { readonly [Key in keyof typeof SETTINGS]: ValueOf<(typeof SETTINGS)[Key]> };

/** Of each pair one is nothing without the other. */
const PAIRS = [
  ['tlsCert', 'tlsKey'],
  ['smtpUrl', 'mailFrom'],
] as const;

/** Reads the whole configuration from an environment, or tells every fault in it. */
export function readConfig(env: Record<string, string | undefined>): Config | ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, { name, default: fallback, reader }] of Object.entries(SETTINGS)) {
    const text = env[name] || fallback;
    if (text === null) {
      values[key] = null;
      continue;
    }
    const value = reader.read(text);
    if (value === null)
      problems.push({ setting: name, problem: `must be ${reader.wanted}`, example: reader.example });
    values[key] = value;
  }
  for (const key of NEEDED) {
    if (!values.oidcIssuer || values[key] !== null) continue;
    const { name, reader } = SETTINGS[key];
    const problem = `must be set beside ${SETTINGS.oidcIssuer.name}`;
    problems.push({ setting: name, problem, example: reader.example });
  }
  for (const [one, other] of PAIRS) {
    if ((values[one] === null) === (values[other] === null)) continue;
    const [missing, present] = values[one] === null ? [one, other] : [other, one];
    const { name, reader } = SETTINGS[missing];
    const beside = SETTINGS[present].name;
    // One that cannot be read is reported as such.
    if (!problems.some(({ setting }) => setting === name || setting === beside))
      problems.push({ setting: name, problem: `must be set beside ${beside}`, example: reader.example });
  }
  return problems.length > 0 ? problems : (Object.freeze(values) as Config);
}

/** All problems as text for a terminal, one line each. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  return problems.map((each) => `${each.setting} ${each.problem}, for example: ${each.example}`).join('\n');
}
