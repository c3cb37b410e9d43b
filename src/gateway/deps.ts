/** What the gateway is wired with. */

import type { KeyCache } from '../auth/keys.ts';
import type { ContentQueue } from '../domain/contents.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { RateCards } from '../domain/price.ts';
import type { ConnectionShares } from '../domain/shares.ts';
import type { Clock } from '../ledger/events.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { RequestBounds } from '../openai/scan.ts';
import type { Log } from '../telemetry/log.ts';
import type { CallTraces } from '../telemetry/measurement.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { UpstreamProfile } from '../upstreams/profile.ts';
import type { Choice } from '../upstreams/routing.ts';
import type { Target } from '../upstreams/target.ts';
import type { LimitTrust } from '../upstreams/trust.ts';
import type { Upstream } from '../wire/upstream.ts';
import type { Anchors } from './anchors.ts';
import type { AudioThread } from './audio.ts';
import type { Bodies, FreeCalls } from './bodies.ts';
import type { Breaker } from './breaker.ts';
import type { CountSharing } from './count-sharing.ts';
import type { EncodingCounts, UpstreamCounts } from './counting.ts';
import type { FileCounts } from './file-counts.ts';
import type { JobStore } from './job-store.ts';
import type { UpstreamSockets } from './lines/upstream-line.ts';
import type { ObjectMemory, ObjectStore } from './objects.ts';
import type { ParseThreads } from './parse-threads.ts';
import type { Patience } from './patience.ts';
import type { Shutdowns } from './shutdowns.ts';
import type { TagValues } from './tag-values.ts';

/** What sessions on WebSockets may take. Times are in milliseconds. */
export interface SessionBounds {
  /** A session in which nothing is under way ends after so long. */
  readonly idleMs: number;
  /** No session begins anything more after so long. */
  readonly maxMs: number;
  /** So many of one key may be open at once. */
  readonly perKey: number;
}

export interface GatewayDeps {
  keys: KeyCache;
  /** The newest rate cards: replaced when prices change. */
  catalog: { readonly rates: RateCards };
  ledger: Ledger;
  breaker: Breaker;
  /** What the upstream keeps, as it passed through. */
  objects: { readonly memory: ObjectMemory; readonly store: ObjectStore };
  /** Files that jobs may read are counted while they pass. */
  fileCounts: FileCounts;
  /** Calls that go on after their response. */
  jobs: JobStore;
  clock: Clock;
  /** Null: no upstream key is set, so nothing can be forwarded. */
  upstream: Upstream | null;
  upstreamApiKey: string;
  /** What holds of this upstream among several; null: it is the only one, from the environment. */
  target: Target | null;
  /** All of them; null: there is only one. */
  upstreams: Choice<GatewayDeps> | null;
  /** How its WebSockets are reached; null: it has none. */
  sockets: UpstreamSockets | null;
  /** What sessions on WebSockets may take. */
  sessions: SessionBounds;
  /** The connections to the upstream, by team. */
  connections: ConnectionShares;
  /** How the upstream may differ from OpenAI's rules. */
  profile: UpstreamProfile;
  /** Whether it keeps output limits; null: it does, as OpenAI does. */
  trust: LimitTrust | null;
  /** What was counted for earlier calls; null: the upstream's counts bound nothing. */
  anchors: Anchors | null;
  /** How inputs are counted where their bytes would hold too much; null: not so. */
  counting: { readonly encodings: EncodingCounts | null; readonly upstream: UpstreamCounts | null };
  /** What was counted is known to others; null: counts bound nothing. */
  sharing: CountSharing | null;
  metrics: Metrics;
  log: Log;
  /** What calls say, of teams that keep it; null: there is no key to seal it with. */
  contents: ContentQueue | null;
  /** Spans of calls; null: OpenTelemetry is off. */
  traces: CallTraces | null;
  /** Values of tags that teams have open. */
  tagValues: TagValues;
  /** Models that will serve no more, as the upstream's lists said. */
  shutdowns: Shutdowns;
  /** Counts a team's denials and errors for reports. */
  counts: { add(teamId: TeamId, code: ErrorCode): void };
  maxBodyBytes: number;
  /** The memory of bodies, and who may have how much of it. */
  bodies: Bodies;
  /** Where large bodies are read. */
  threads: ParseThreads;
  /** Where the length of audio is read. */
  audio: AudioThread;
  freeCalls: FreeCalls<TeamId>;
  /** Calls that wait because a limit says so, instead of denying them. */
  patience: Patience;
  uploadStallMs: number;
  /** What the shape of a body may be. */
  bodyBounds: RequestBounds;
  /** Origins of web pages that may call, `*` for all; null: none. */
  corsOrigins: readonly string[] | null;
  /** How long the upstream's answer is read on after its client left, to learn what it cost. */
  abandonedTimeoutMs: number;
  /** Called with a budget that denied a call. */
  onSpent(counter: CounterSpec): void;
}
