/**
 * The breaker: keeps retries from paying for a failing upstream again and again. Owns: which teams may call just now, one
 * at a time or at all. Does not own: what a failure costs (settle). It knows this instance alone.
 *
 * A team's circuit opens after two unknown outcomes in a row that the upstream caused; the upstream's own, for all teams,
 * once calls of two teams failed within a minute and no call succeeded since: of a busy upstream more of them, because there
 * two in a row are no news. While a circuit is open, one call at a time
 * goes through as a probe: soon after the last call that it turned away, or later if clients do not wait. A request that
 * failed is no probe for half an hour: a client that repeats one prompt all the while pays for it twice at most.
 */
import { createHash } from 'node:crypto';
import type { Account, CallKind, UnknownCall } from '../domain/budget.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { formatUsd } from '../domain/quantities.ts';
import { type UnknownExcess, unknownExcess } from '../domain/unknown.ts';

const FAILURES = 2;
/** A probe may follow so long after the last call that was turned away, … */
const QUIET_MS = 10_000;
const QUIET_MAX_MS = 60_000;
/** … or so long after the circuit opened, whatever clients do. The retries of one prompt have ended by then. */
const PATIENCE_MS = 30_000;
const PATIENCE_MAX_MS = 300_000;
/** The retries of one prompt have ended by then, also of clients that wait as long as they should. */
const REPEATED_MS = 1_800_000;
const REPEATED_RETRY_MS = 60_000;
const REPEATED_MAX = 1_000;
/** While a probe is under way, and where calls go one at a time. */
const BUSY_RETRY_MS = 2_000;
/** Failures of several teams within it speak of the upstream. */
const TOGETHER_MS = 60_000;
/** Of so many calls that succeeded shortly before, one failure more is expected by chance. */
export const SUCCESSES_PER_FAILURE = 50;
const SHORTLY_MS = 10_000;
/** Bytes of a request by which it is known again; its length counts too. */
const CONTENT_BYTES = 65_536;
/** Calls of unknown outcome that are remembered of a team, and named in an error. */
const KNOWN_MAX = 1_000;
const NAMED_MAX = 20;

/** How a call ended, as far as it says something of the upstream. `neither`: its client left, or nothing was sent. */
export type Answered = 'answered' | 'failed' | 'neither';

class Circuit {
  failures = 0;
  #openedMs: number | null = null;
  #probes = 0;
  #isProbing = false;
  #turnedAwayMs: number | null = null;
  /** When requests failed, by their content. */
  readonly #requests = new Map<string, number>();

  get isOpen(): boolean {
    return this.#openedMs !== null;
  }

  /** Returns how long a call has to wait at least; 0: it may go, as a probe if the circuit is open. */
  waitMs(nowMs: number, content: string): number {
    if (this.#openedMs === null) return 0;
    if (nowMs - (this.#requests.get(content) ?? Number.NEGATIVE_INFINITY) < REPEATED_MS)
      return REPEATED_RETRY_MS;
    if (this.#isProbing) return BUSY_RETRY_MS;
    const { quietMs, lateMs, quietUntilMs } = this.#probing(this.#openedMs);
    if (nowMs >= Math.min(lateMs, quietUntilMs)) return 0;
    this.#turnedAwayMs = nowMs;
    return Math.min(lateMs - nowMs, quietMs);
  }

  /** Whether it is closed, or a probe may go. */
  isDue(nowMs: number): boolean {
    if (this.#openedMs === null) return true;
    const { lateMs, quietUntilMs } = this.#probing(this.#openedMs);
    return !this.#isProbing && nowMs >= Math.min(lateMs, quietUntilMs);
  }

  /** When the next probe may go. */
  #probing(openedMs: number): { quietMs: number; lateMs: number; quietUntilMs: number } {
    const quietMs = Math.min(QUIET_MS * 2 ** this.#probes, QUIET_MAX_MS);
    const patienceMs = Math.min(PATIENCE_MS * 2 ** this.#probes, PATIENCE_MAX_MS);
    const quietUntilMs = (this.#turnedAwayMs ?? openedMs) + quietMs;
    return { quietMs, lateMs: openedMs + patienceMs, quietUntilMs };
  }

  /** @returns whether the call is a probe */
  enter(): boolean {
    this.#isProbing = this.isOpen;
    return this.#isProbing;
  }

  leave(): void {
    this.#isProbing = false;
  }

  remember(content: string, nowMs: number): void {
    if (this.#requests.size >= REPEATED_MAX) this.#requests.clear();
    this.#requests.set(content, nowMs);
  }

  open(nowMs: number): void {
    this.#openedMs ??= nowMs;
  }

  /** The probe failed: the next one follows later. */
  probeFailed(nowMs: number): void {
    this.#probes++;
    this.#openedMs = nowMs;
    this.#turnedAwayMs = null;
  }
}

/** A call on its way through circuits that are watched. */
export interface Pass {
  readonly teamId: TeamId;
  /** Circuits of which it is the probe. */
  readonly probes: readonly Circuit[];
  /** Its team's calls go one at a time. */
  readonly isAlone: boolean;
  /** By which its request is known again. */
  readonly content: string;
}

/** A call of unknown outcome that this instance has recorded. */
interface RecordedCall {
  /** On the monotonic clock; its event is written after that. */
  readonly recordedMs: number;
  readonly call: UnknownCall;
}

export interface BreakerOptions {
  monotonicMs(): number;
  /** A circuit opened or closed; null: the upstream's. */
  onChange(teamId: TeamId | null, isOpen: boolean): void;
  /** A breaker of another upstream: what is not known of a team's calls counts wherever they went. */
  beside?: Breaker | undefined;
}

export class Breaker {
  /** Teams and calls that are looked at; 0, as nearly always: no call needs to ask. */
  watched = 0;
  readonly #options: BreakerOptions;
  readonly #teams = new Map<TeamId, Circuit>();
  #upstream = new Circuit();
  /** Calls that succeeded in this span. Settle counts them itself, and calls `countedMore` after each fiftieth. */
  successes = 0;
  #successesBefore = 0;
  /** Failures in a row, of all teams. */
  #failures = 0;
  #spanFromMs = 0;
  /** When calls of each team failed, since any call succeeded. */
  readonly #failing = new Map<TeamId, number>();
  readonly #unknown: Map<TeamId, RecordedCall[]>;
  readonly #alone: Set<TeamId>;
  /** All that share these calls, this one among them. */
  readonly #together: Set<Breaker>;

  constructor(options: BreakerOptions) {
    const { beside } = options;
    this.#options = options;
    this.#unknown = beside === undefined ? new Map() : beside.#unknown;
    this.#alone = beside === undefined ? new Set() : beside.#alone;
    this.#together = beside === undefined ? new Set() : beside.#together;
    this.#together.add(this);
    this.#count();
  }

  /** Its upstream is no more. */
  close(): void {
    this.#together.delete(this);
  }

  /** The number of teams whose circuit is open. */
  get openTeams(): number {
    let open = 0;
    for (const circuit of this.#teams.values()) if (circuit.isOpen) open++;
    return open;
  }

  /** Whether a call of a team would be let through now, whatever it asks: where another upstream may have it, it need not wait. */
  wouldTake(teamId: TeamId): boolean {
    const atMs = this.#options.monotonicMs();
    return this.#upstream.isDue(atMs) && (this.#teams.get(teamId)?.isDue(atMs) ?? true);
  }

  get isUpstreamOpen(): boolean {
    return this.#upstream.isOpen;
  }

  /** Lets a call through, or says why not just now. To be followed by `leave`. @param nowMs Postgres's clock */
  enter(account: Account, kind: CallKind, nowMs: number, body: Buffer): Pass | ApiError {
    const { teamId } = account.principal;
    const atMs = this.#options.monotonicMs();
    const team = this.#teams.get(teamId);
    // Another team's failures cost this one no work.
    const content = team === undefined ? '' : contentOf(body);
    const waitMs = this.#upstream.waitMs(atMs, content);
    if (waitMs > 0) return unavailable('upstream', waitMs, []);
    const teamWaitMs = team?.waitMs(atMs, content) ?? 0;
    const unknown = this.#unknownOf(account);
    if (teamWaitMs > 0) return unavailable('team', teamWaitMs, unknown);
    const excess = unknownExcess(account, kind, unknown, nowMs);
    if (excess !== null && this.#alone.has(teamId)) return oneAtATime(teamId, excess);
    if (excess !== null) this.#alone.add(teamId);
    const probes = [team, this.#upstream].filter((circuit): circuit is Circuit => circuit?.enter() ?? false);
    return { teamId, probes, isAlone: excess !== null, content };
  }

  /** The call of a pass is over, or was never sent. */
  leave({ teamId, probes, isAlone }: Pass): void {
    for (const circuit of probes) circuit.leave();
    if (isAlone) this.#alone.delete(teamId);
  }

  /** To be called after every `SUCCESSES_PER_FAILURE` successes: a span may have ended. */
  countedMore(): void {
    this.#nextSpan(this.#options.monotonicMs());
  }

  /** A call that was sent has ended. @param unknown it, if its outcome is not known */
  ended(teamId: TeamId, answered: Answered, pass: Pass | null, unknown: UnknownCall | null): void {
    const atMs = this.#options.monotonicMs();
    if (unknown !== null) {
      const calls = this.#unknown.get(teamId) ?? [];
      calls.push({ recordedMs: atMs, call: unknown });
      if (calls.length > KNOWN_MAX) calls.shift();
      this.#unknown.set(teamId, calls);
    }
    if (answered === 'failed') this.#failed(teamId, pass, atMs);
    else if (answered === 'answered') this.#answered(teamId);
    this.#count();
  }

  #failed(teamId: TeamId, pass: Pass | null, atMs: number): void {
    const { onChange } = this.#options;
    for (const circuit of pass?.probes ?? []) circuit.probeFailed(atMs);
    const team = this.#teams.get(teamId) ?? new Circuit();
    this.#teams.set(teamId, team);
    if (pass !== null) team.remember(pass.content, atMs);
    if (++team.failures >= FAILURES && !team.isOpen) {
      team.open(atMs);
      onChange(teamId, true);
    }
    for (const [id, ms] of this.#failing) if (ms < atMs - TOGETHER_MS) this.#failing.delete(id);
    this.#failing.set(teamId, atMs);
    this.#failures++;
    this.#nextSpan(atMs);
    const byChance = Math.floor((this.successes + this.#successesBefore) / SUCCESSES_PER_FAILURE);
    if (this.#failing.size < 2 || this.#failures < FAILURES + byChance || this.#upstream.isOpen) return;
    this.#upstream.open(atMs);
    onChange(null, true);
  }

  #answered(teamId: TeamId): void {
    const { onChange } = this.#options;
    if (this.#teams.get(teamId)?.isOpen) onChange(teamId, false);
    this.#teams.delete(teamId);
    this.#failing.clear();
    this.#failures = 0;
    if (!this.#upstream.isOpen) return;
    this.#upstream = new Circuit();
    onChange(null, false);
  }

  #nextSpan(atMs: number): void {
    const spans = Math.floor((atMs - this.#spanFromMs) / SHORTLY_MS);
    if (spans < 1) return;
    this.#successesBefore = spans === 1 ? this.successes : 0;
    this.successes = 0;
    this.#spanFromMs += spans * SHORTLY_MS;
  }

  /** Teams of which calls of unknown outcome were recorded here before a moment. */
  recordedBefore(untilMs: number): ReadonlySet<TeamId> {
    const teamIds = new Set<TeamId>();
    for (const [teamId, calls] of this.#unknown)
      if (calls.some(({ recordedMs }) => recordedMs < untilMs)) teamIds.add(teamId);
    return teamIds;
  }

  /**
   * Forgets the calls of unknown outcome that were recorded before a moment, so that they may be released. To be called once
   * Postgres has their events, in the turn in which their teams' accounts are forgotten too: what is read later has them.
   */
  forgetBefore(untilMs: number): void {
    for (const [teamId, calls] of this.#unknown) {
      const kept = calls.filter(({ recordedMs }) => recordedMs >= untilMs);
      if (kept.length > 0) this.#unknown.set(teamId, kept);
      else this.#unknown.delete(teamId);
    }
    this.#count();
  }

  #count(): void {
    for (const each of this.#together)
      each.watched = each.#teams.size + each.#unknown.size + (each.#upstream.isOpen ? 1 : 0);
  }

  /** What Postgres knew when the key was read, and what this instance has recorded that was perhaps not there yet. */
  #unknownOf(account: Account): UnknownCall[] {
    const { teamId } = account.principal;
    const calls = new Map(account.unknown.map((call) => [call.id, call]));
    for (const { call } of this.#unknown.get(teamId) ?? []) calls.set(call.id, call);
    return [...calls.values()];
  }
}

/** The same for the same members in any order: some clients write theirs in another order each time. */
function contentOf(body: Buffer): string {
  const counts = new Uint32Array(257);
  counts[256] = body.length;
  for (const byte of body.subarray(0, CONTENT_BYTES)) counts[byte] = (counts[byte] ?? 0) + 1;
  return createHash('sha256').update(counts).digest('base64');
}

function unavailable(scope: 'team' | 'upstream', retryAfterMs: number, calls: UnknownCall[]): ApiError {
  const whose = scope === 'team' ? "this team's last calls" : 'the last calls of several teams';
  return apiError(
    'upstream_unavailable',
    `The upstream failed ${whose}, and may have billed them: nothing was sent. One call at a time is tried again.`,
    { retryAfterMs, details: { scope, unknown_events: idsOf(calls) } },
  );
}

function oneAtATime(teamId: TeamId, { source, sourceId, unknown, most, calls }: UnknownExcess): ApiError {
  const release = `POST /admin/v1/unknown/release {"filter": {"team_id": "${teamId}"}, "reason": "…"}`;
  return apiError(
    'rate_limit_exceeded',
    `Calls of unknown outcome are charged $${formatUsd(unknown)} to this ${source}, more than its max_unknown of ` +
      `$${formatUsd(most)}: until there is evidence or an administrator releases them (${release}), calls go one at a time.`,
    {
      retryAfterMs: BUSY_RETRY_MS,
      details: {
        limit_id: sourceId,
        limit_type: source,
        unknown_usd: formatUsd(unknown),
        max_unknown_usd: formatUsd(most),
        unknown_events: idsOf(calls),
      },
    },
  );
}

/** The latest first. */
function idsOf(calls: readonly UnknownCall[]): string[] {
  return calls
    .map(({ id }) => id as string)
    .sort()
    .reverse()
    .slice(0, NAMED_MAX);
}
