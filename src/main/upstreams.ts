/**
 * The upstreams of the configuration file. Owns: reading it, and again when it changes or on SIGHUP; what of the upstreams
 * before stays as it is. Invariant: a file with a fault changes nothing.
 */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  type FileSettings,
  type FileSources,
  formatFileProblems,
  namesStored,
  readFileSettings,
  type UpstreamSettings,
} from '../config/file.ts';
import type { Config } from '../config.ts';
import { ConnectionShares } from '../domain/shares.ts';
import type { Breaker } from '../gateway/breaker.ts';
import type { GatewayDeps } from '../gateway/deps.ts';
import { type Job, startJob } from '../jobs/every.ts';
import { loadTokeniser } from '../openai/usage/tokeniser.ts';
import type { Log } from '../telemetry/log.ts';
import { UpstreamHealth, type UpstreamReading } from '../upstreams/health.ts';
import { compatibleProfile, openaiProfile } from '../upstreams/profile.ts';
import { type Lane, Upstreams } from '../upstreams/routing.ts';
import { matcherOf, type Target } from '../upstreams/target.ts';
import { LimitTrust } from '../upstreams/trust.ts';
import { createUpstream } from '../wire/client.ts';
import { CannotStart } from './open.ts';
import type { StoredSecrets } from './secrets.ts';
import { type ConfiguredUpstream, openBreaker, startProbes } from './upstream.ts';
import { ratesOf, tokenPrice } from './upstream-prices.ts';

/** How often the file is looked at. */
const LOOK_EVERY_MS = 1_000;

interface FileUpstreamsOptions {
  config: Config;
  log: Log;
  /** Shared by all, for what is not known of teams' calls. */
  breaker: Breaker;
  /** Those in Postgres, which the file may name. */
  secrets: StoredSecrets;
  /** Milliseconds since the epoch. */
  nowMs(): number;
}

/** One upstream of the file, open. */
interface Entry {
  /** Its settings as text: equal ones stay open. */
  readonly key: string;
  readonly settings: UpstreamSettings;
  readonly opened: ConfiguredUpstream;
  readonly target: Target;
  readonly breaker: Breaker;
  readonly connections: ConnectionShares;
  lane: Lane<GatewayDeps> | null;
  stopProbes: () => Promise<void>;
}

/** Reads and checks the file. Returns what is wrong, in words with every place, where something is. @param readStored of secrets in Postgres */
export function readFileNow(path: string, readStored: FileSources['readStored']): FileSettings | string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return `TOLLGATE_CONFIG_FILE ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`;
  }
  const read = readFileSettings(text, {
    env: process.env,
    readSecret: (from) => readFileSync(from, 'utf8'),
    readStored,
  });
  return Array.isArray(read)
    ? `the configuration file has problems:\n${formatFileProblems(path, read)}`
    : read;
}

/** Whether the file names secrets in Postgres. One that cannot be read names none. */
function needsSecrets(path: string): boolean {
  try {
    return namesStored(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
}

export class FileUpstreams {
  readonly router = new Upstreams<GatewayDeps>(() => performance.now());
  readonly #options: FileUpstreamsOptions;
  readonly #path: string;
  #settings: FileSettings;
  #entries: readonly Entry[] = [];
  #base: GatewayDeps | null = null;
  #seen: string;
  #looking: Job | null = null;
  #reading: Promise<void> = Promise.resolve();
  readonly #onHangUp = () => this.#readAgain();

  private constructor(options: FileUpstreamsOptions, path: string, settings: FileSettings, seen: string) {
    this.#options = options;
    this.#path = path;
    this.#settings = settings;
    this.#seen = seen;
  }

  /** @throws CannotStart when the file cannot be read, or has a fault */
  static async open(options: FileUpstreamsOptions, path: string): Promise<FileUpstreams> {
    const seen = await stampOf(path, options.secrets);
    const read = await readWithSecrets(path, options.secrets);
    if (typeof read === 'string') throw new CannotStart(read);
    const file = new FileUpstreams(options, path, read, seen);
    file.#entries = await file.#openAll();
    return file;
  }

  /** The first of the file, which has the calls that name no model. */
  get first(): ConfiguredUpstream {
    const [first] = this.#entries;
    if (first === undefined) throw new Error('a configuration file has at least one upstream');
    return first.opened;
  }

  /** As they were read last. */
  get settings(): readonly UpstreamSettings[] {
    return this.#settings.upstreams;
  }

  /** What is seen of each now. */
  readings(): UpstreamReading[] {
    return this.#entries.map(({ settings, opened, target, breaker, connections }) => ({
      name: settings.name,
      kind: settings.kind,
      baseUrl: settings.base_url,
      models: settings.models ?? null,
      modelNames: settings.model_names,
      teams: settings.teams ?? null,
      weight: settings.weight,
      pricePercent: settings.price_percent ?? 100,
      health: target.health,
      trust: opened.trust,
      connectionsUsed: connections.used,
      connectionsMax: connections.max,
      isBreakerOpen: breaker.isUpstreamOpen,
      openTeams: breaker.openTeams,
    }));
  }

  /** Begins: calls take the upstreams, which get all that is not theirs from `base`. */
  attach(base: GatewayDeps): void {
    this.#base = base;
    this.#route();
    process.on('SIGHUP', this.#onHangUp);
    this.#looking = startJob({
      firstAfterMs: LOOK_EVERY_MS,
      intervalMs: LOOK_EVERY_MS,
      run: () => this.#look(),
      onError: (error) => this.#failed(error),
    });
  }

  async close(): Promise<void> {
    await this.#looking?.stop();
    process.off('SIGHUP', this.#onHangUp);
    await this.#reading;
    await Promise.all(this.#entries.map(closeEntry));
  }

  async #look(): Promise<void> {
    const seen = await stampOf(this.#path, this.#options.secrets);
    if (seen === this.#seen) return;
    this.#readAgain();
    this.#seen = seen;
  }

  #failed(error: unknown): void {
    this.#options.log.logger.error({ err: error }, 'the configuration file could not be taken over');
  }

  #readAgain(): void {
    this.#reading = this.#reading.then(() => this.#replace()).catch((error) => this.#failed(error));
  }

  async #replace(): Promise<void> {
    const { log, secrets } = this.#options;
    const read = await readWithSecrets(this.#path, secrets);
    if (typeof read === 'string') {
      log.logger.error(
        { problems: read },
        'the configuration file is not taken over: what was read before holds',
      );
      return;
    }
    const before = this.#entries;
    this.#settings = read;
    this.#entries = await this.#openAll();
    this.#route();
    const names = read.upstreams.map(({ name }) => name);
    log.logger.info({ upstreams: names }, 'the configuration file was read again');
    // Its calls end first.
    for (const entry of before) if (!this.#entries.includes(entry)) void closeEntry(entry);
  }

  #openAll(): Promise<Entry[]> {
    const known = new Map(this.#entries.map((entry) => [entry.key, entry]));
    return Promise.all(
      this.#settings.upstreams.map(async (settings) => {
        const key = JSON.stringify(settings);
        return known.get(key) ?? (await openEntry(key, settings, this.#options));
      }),
    );
  }

  #route(): void {
    const base = this.#base;
    if (base === null) return;
    for (const entry of this.#entries) {
      if (entry.lane !== null) continue;
      entry.lane = laneOf(base, entry);
      const { log, nowMs } = this.#options;
      const { deps } = entry.lane;
      const { headers, modelNames } = entry.target;
      entry.stopProbes = startProbes(entry.opened, {
        log,
        nowMs,
        rates: () => deps.catalog.rates,
        headers,
        modelNames,
        serves: entry.lane.serves,
      });
    }
    this.router.replace(
      this.#entries.flatMap(({ lane }) => (lane === null ? [] : [lane])),
      this.#settings.routing,
    );
  }
}

/** Returns null where no file is configured: there is one upstream then, from the environment. @throws CannotStart on a fault in it */
export async function openFileUpstreams(options: FileUpstreamsOptions): Promise<FileUpstreams | null> {
  const { configFile } = options.config;
  return configFile === null ? null : await FileUpstreams.open(options, configFile);
}

/** Reads the file, and before it the secrets that it names. */
async function readWithSecrets(path: string, secrets: StoredSecrets): Promise<FileSettings | string> {
  if (needsSecrets(path)) await secrets.load();
  return readFileNow(path, (name) => secrets.read(name));
}

/** Changes whenever the file may have changed, or a secret of those in Postgres where it names one. */
async function stampOf(path: string, secrets: StoredSecrets): Promise<string> {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    const stamp = `${mtimeMs} ${size} ${ino}`;
    return needsSecrets(path) ? `${stamp} ${await secrets.stamp()}` : stamp;
  } catch {
    return '';
  }
}

async function openEntry(
  key: string,
  settings: UpstreamSettings,
  { config, log, breaker, nowMs }: FileUpstreamsOptions,
): Promise<Entry> {
  const { kind, timeouts, tokenizer } = settings;
  const profile =
    kind === 'compatible'
      ? compatibleProfile({
          limitFields: settings.limit_fields,
          extraFields: settings.fields,
          maxOutputTokens: settings.max_output_tokens ?? null,
          countTokens: tokenizer === undefined ? null : await loadTokeniser(tokenizer),
          onClientGone: settings.client_gone ?? null,
        })
      : openaiProfile(settings.client_gone ?? null);
  const workers = config.workers === 'auto' ? availableParallelism() : config.workers;
  const connections = Math.max(1, Math.floor(settings.connections / workers));
  const upstream = createUpstream({
    baseUrl: settings.base_url,
    connections,
    connectTimeoutMs: timeouts.connect_ms,
    headersTimeoutMs: timeouts.first_byte_ms,
    bodyTimeoutMs: timeouts.idle_ms,
    // Longer than a client may stall, as with the one upstream of the environment.
    pausedTimeoutMs: 2 * Math.max(timeouts.idle_ms, config.clientStallMs),
    closesAfterStreams: kind === 'compatible',
  });
  return {
    key,
    settings,
    opened: {
      upstream,
      upstreamApiKey: settings.key ?? '',
      profile,
      trust: kind === 'compatible' ? new LimitTrust(nowMs) : null,
      sockets:
        (settings.has_websockets ?? kind === 'openai')
          ? {
              baseUrl: settings.base_url,
              connectTimeoutMs: timeouts.connect_ms,
              firstEventTimeoutMs: timeouts.first_byte_ms,
              idleTimeoutMs: timeouts.idle_ms,
            }
          : null,
    },
    target: targetOf(settings),
    breaker: openBreaker(log, { upstream: settings.name, beside: breaker }),
    connections: new ConnectionShares(connections, config.queueTimeoutMs),
    lane: null,
    stopProbes: async () => {},
  };
}

async function closeEntry({ opened, breaker, stopProbes }: Entry): Promise<void> {
  await stopProbes();
  await opened.upstream?.close();
  breaker.close();
}

function targetOf(settings: UpstreamSettings): Target {
  const { name, kind, key, headers, model_names: names } = settings;
  const own = Object.entries(headers).flatMap(([header, value]) => [header.toLowerCase(), value]);
  const secret = kind === 'azure' ? ['api-key', key ?? ''] : ['authorization', `Bearer ${key ?? ''}`];
  return {
    name,
    headers: key === undefined ? own : [...own, ...secret],
    modelNames: new Map(Object.entries(names)),
    usageInStreams: settings.usage_in_streams,
    health: new UpstreamHealth(),
    callMs: settings.timeouts.call_ms ?? null,
    pathOf: kind === 'azure' ? azurePaths(settings) : (path) => path,
  };
}

/**
 * Azure's paths: below `…/openai/v1` those of OpenAI, below `…/openai` those of a deployment, in the path by its name; both
 * with the version of the API, where one is set.
 */
function azurePaths({ base_url: base, api_version: version }: UpstreamSettings): Target['pathOf'] {
  const isV1 = /\/v1\/*$/.test(base);
  return (path, model) => {
    const place = isV1 || model === null ? path : `/deployments/${encodeURIComponent(model)}${path}`;
    if (version === undefined) return place;
    return `${place}${place.includes('?') ? '&' : '?'}api-version=${version}`;
  };
}

/** @param base what the upstreams share */
function laneOf(base: GatewayDeps, entry: Entry): Lane<GatewayDeps> {
  const { settings, opened, target, breaker, connections } = entry;
  const { kind, models, teams, weight, has_responses: hasResponses } = settings;
  // What is known of OpenAI's own counts holds where its own models are served under their names.
  const isCounted = kind === 'openai' && target.modelNames.size === 0;
  const catalog = ratesOf(base.catalog, settings);
  const deps: GatewayDeps = {
    ...base,
    ...opened,
    target,
    connections,
    breaker,
    catalog,
    anchors: isCounted ? base.anchors : null,
    counting: {
      encodings: isCounted && isOfOpenAi(settings.base_url) ? base.counting.encodings : null,
      upstream: null,
    },
    sharing: isCounted ? base.sharing : null,
  };
  const matches = matcherOf(models ?? (target.modelNames.size === 0 ? ['*'] : []));
  return {
    target,
    deps,
    weight,
    hasResponses,
    serves: (model) => target.modelNames.has(model) || matches(model),
    servesTeam: ({ teamId, teamName }) =>
      teams === undefined || teams.includes(teamName) || teams.includes(teamId),
    priceOf: (model) => tokenPrice(catalog.rates, model, base.clock.nowMs()),
    wouldTake: (teamId) => breaker.wouldTake(teamId),
  };
}

function isOfOpenAi(baseUrl: string): boolean {
  return /(^|\.)api\.openai\.com\.?$/.test(new URL(baseUrl).hostname);
}
