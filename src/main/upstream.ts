/** The upstream of the configuration: its client, its profile, and whether it keeps output limits. */
import type { Config } from '../config.ts';
import type { RateCards } from '../domain/price.ts';
import { Breaker } from '../gateway/breaker.ts';
import type { UpstreamSockets } from '../gateway/lines/upstream-line.ts';
import { startProbing } from '../jobs/probe-limits.ts';
import { uuidV7 } from '../ledger/events.ts';
import { OPERATIONS } from '../openai/operations/table.ts';
import { loadTokeniser } from '../openai/usage/tokeniser.ts';
import type { Log } from '../telemetry/log.ts';
import { listModels, probe } from '../upstreams/probe.ts';
import { compatibleProfile, openaiProfile, type UpstreamProfile } from '../upstreams/profile.ts';
import { LimitTrust } from '../upstreams/trust.ts';
import { createUpstream } from '../wire/client.ts';
import type { Upstream } from '../wire/upstream.ts';

export interface ConfiguredUpstream {
  /** Null: it has no key, so nothing can be forwarded. */
  upstream: Upstream | null;
  upstreamApiKey: string;
  profile: UpstreamProfile;
  /** Null: it keeps output limits, as OpenAI does. */
  trust: LimitTrust | null;
  /** Null: it has no WebSockets. */
  sockets: UpstreamSockets | null;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** @param nowMs milliseconds since the epoch */
export async function openUpstream(config: Config, nowMs: () => number): Promise<ConfiguredUpstream> {
  const upstreamApiKey = config.openaiApiKey ?? '';
  const upstream = config.openaiApiKey === null ? null : clientOf(config);
  if (config.upstreamProfile === 'openai')
    return {
      upstream,
      upstreamApiKey,
      profile: openaiProfile(config.clientGone),
      trust: null,
      sockets: upstream === null ? null : socketsOf(config),
    };
  const { upstreamTokenizer } = config;
  const profile = compatibleProfile({
    limitFields: config.upstreamLimitFields,
    extraFields: config.upstreamFields ?? [],
    maxOutputTokens: config.upstreamMaxOutputTokens,
    countTokens: upstreamTokenizer === null ? null : await loadTokeniser(upstreamTokenizer),
    onClientGone: config.clientGone,
  });
  return { upstream, upstreamApiKey, profile, trust: new LimitTrust(nowMs), sockets: null };
}

function socketsOf({ openaiBaseUrl: baseUrl, upstreamTimeoutMs }: Config): UpstreamSockets {
  return {
    baseUrl,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    firstEventTimeoutMs: upstreamTimeoutMs,
    idleTimeoutMs: upstreamTimeoutMs,
  };
}

function clientOf(config: Config): Upstream {
  return createUpstream({
    baseUrl: config.openaiBaseUrl,
    connections: config.upstreamConnections,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headersTimeoutMs: config.upstreamTimeoutMs,
    bodyTimeoutMs: config.upstreamTimeoutMs,
    // Longer than a client may stall: that one is cut off, and its call is read to its end.
    pausedTimeoutMs: 2 * config.upstreamTimeoutMs,
    closesAfterStreams: config.upstreamProfile === 'compatible',
  });
}

interface ProbesOptions {
  log: Log;
  rates: () => RateCards;
  nowMs: () => number;
  /** Headers of its own, its key among them; missing: a bearer key. */
  headers?: readonly string[];
  /** Names of models that are others there. */
  modelNames?: ReadonlyMap<string, string>;
  /** Whether calls to a model may be sent there, by the client's name of it; missing: to all. */
  serves?: (model: string) => boolean;
}

/** Starts the probes of an upstream that is not trusted by its profile; returns how to end them. */
export function startProbes(
  { upstream, upstreamApiKey: apiKey, profile, trust }: ConfiguredUpstream,
  { log: { logger }, rates, nowMs, headers, modelNames = new Map(), serves = () => true }: ProbesOptions,
): () => Promise<void> {
  if (upstream === null || trust === null) return async () => {};
  const makeId = () => uuidV7(nowMs());
  const asked = { upstream, profile, makeId, apiKey, headers };
  const clientNames = new Map([...modelNames].map(([name, there]) => [there, name]));
  const job = startProbing({
    trust,
    operation: OPERATIONS.find((each) => each.probe !== null)?.name ?? '',
    nowMs,
    listModels: async () => (await listModels(asked)).map(({ id }) => clientNames.get(id) ?? id),
    isCalled: (model) => serves(model) && rates().find(model, nowMs()) !== null,
    probe: (operation, model, signal) => {
      const descriptor = OPERATIONS.find(({ name }) => name === operation);
      if (descriptor === undefined) return null;
      return probe({ ...asked, descriptor, model: modelNames.get(model) ?? model, signal });
    },
    onLearned: (known) => {
      if (known.state === 'kept') logger.info(known, 'the upstream keeps an output limit');
      else
        logger.warn(
          known,
          'the upstream is not known to keep an output limit: calls hold all that it can write',
        );
    },
    onError: (error) => logger.error({ err: error }, 'the upstream could not be probed; it is tried again'),
  });
  return () => job.stop();
}

/** @param of the upstream's name, and a breaker that shares what is not known of teams' calls; missing: there is one */
export function openBreaker({ logger }: Log, of: { upstream?: string; beside?: Breaker } = {}): Breaker {
  const { upstream, beside } = of;
  return new Breaker({
    monotonicMs: () => performance.now(),
    beside,
    onChange(teamId, isOpen) {
      const scope = teamId === null ? { scope: 'upstream' } : { scope: 'team', team: teamId };
      const fields = upstream === undefined ? scope : { ...scope, upstream };
      if (isOpen) logger.warn(fields, 'the upstream fails: calls go one at a time');
      else logger.info(fields, 'the upstream responds again');
    },
  });
}
