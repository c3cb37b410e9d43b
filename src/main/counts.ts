/** By which counts inputs are bound, as the configuration says: those of earlier calls, of encodings, of the upstream. */
import type { Config } from '../config.ts';
import { Anchors } from '../gateway/anchors.ts';
import { CountSharing, type CountStore } from '../gateway/count-sharing.ts';
import { EncodingCounts, UpstreamCounts } from '../gateway/counting.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { UpstreamProfile } from '../upstreams/profile.ts';
import type { Group } from './http/health.ts';
import type { ConfiguredUpstream } from './upstream.ts';

interface SharingOptions {
  profile: UpstreamProfile;
  /** Each of several upstreams says for itself whether it uses them. */
  isOneOfSeveral: boolean;
  store: CountStore;
  ledger: Ledger;
  /** Null: this process is the whole gateway. */
  group: Group | null;
  onError(error: unknown): void;
}

/** What was counted for earlier calls, and who else knows it. Profiles other than OpenAI's promise nothing of their counts. */
export function openAnchors({ profile, isOneOfSeveral, store, ledger, group, onError }: SharingOptions): {
  anchors: Anchors | null;
  sharing: CountSharing | null;
} {
  if (profile.name !== 'openai' && !isOneOfSeveral) return { anchors: null, sharing: null };
  const sharing = new CountSharing({
    store,
    tellWorkers: group === null ? null : (counts) => group.tellCounts(counts),
    hasReplicas: () => ledger.leases.instances > (group?.pids().length ?? 1),
    onError,
  });
  return { anchors: new Anchors((count) => sharing.add(count)), sharing };
}

/** By which counts an input may be bound. What OpenAI has published holds of its own models, wherever they are served. */
export function openCounting(
  { inputCounting, openaiBaseUrl, openaiApiKey, configFile }: Config,
  { upstream, profile }: ConfiguredUpstream,
  back: AsyncDisposableStack,
): { encodings: EncodingCounts | null; upstream: UpstreamCounts | null } {
  // With several upstreams each says for itself whether its inputs are counted.
  const isOpenAi = configFile !== null || new URL(openaiBaseUrl).hostname === 'api.openai.com';
  const how =
    profile.name === 'openai' || configFile !== null
      ? (inputCounting ?? (isOpenAi ? 'encoding' : 'off'))
      : 'off';
  const encodings = how === 'encoding' || how === 'both' ? new EncodingCounts() : null;
  back.defer(async () => encodings?.close());
  const asks = upstream !== null && configFile === null && (how === 'upstream' || how === 'both');
  const monotonicMs = () => performance.now();
  return {
    encodings,
    upstream: asks ? new UpstreamCounts({ upstream, apiKey: openaiApiKey ?? '', monotonicMs }) : null,
  };
}
