/**
 * Posts a difference of a day to the ledger. Owns: who bears it. Calls of unknown outcome are corrected, each by its part of
 * what they were charged; anything else becomes an event of the day, made of the difference's name, for each team that it
 * falls on. Invariants: posting again changes nothing; the sum of what is posted is the difference.
 */
import { createHash } from 'node:crypto';
import { OPEN_STATES } from '../domain/differences.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { namesOf } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS } from '../domain/window.ts';
import { eventJson, factsJson } from '../ledger/events.ts';
import { eventFromJson } from '../ledger/read-journal.ts';
import type { Database } from '../store/database.ts';
import { book, type FlushEvent } from '../store/hot/flush.ts';
import { POSTING_OPERATION, type PostingRow, type ReconciliationRow } from '../store/reconciliation.ts';
import {
  departmentsOf,
  findPosting,
  notePosting,
  readOpenCalls,
  readTeamCosts,
} from '../store/reconciliation-postings.ts';
import { payingGrants } from '../store/storage.ts';
import type { StoredDifference } from '../store/stored-json.ts';
import { correctCall } from '../store/unknown.ts';

interface Posting {
  row: ReconciliationRow;
  difference: StoredDifference;
  /** Who bears what no calls of teams explain; null: the organization. */
  teamId: TeamId | null;
  reason: string;
  actor: string;
}

/** Posts a difference, once. Returns the posting, which may be an earlier one; or why it cannot be posted. */
export async function postDifference(database: Database, posting: Posting): Promise<PostingRow | ApiError> {
  const { row, difference, reason, actor } = posting;
  const { day, upstream } = row;
  const which = { day, upstream, difference: difference.id };
  const before = await findPosting(database, which);
  if (before !== null) return before;
  if (!row.isFinal) return apiError('conflict', 'the day is not final yet: its costs may still come');
  if (difference.kind === 'late_batch' || difference.kind === 'day_boundary')
    return apiError(
      'conflict',
      'the day on the other side of midnight has the same amount the other way round',
    );
  const isOpen = OPEN_STATES.some((state) => state === difference.kind);
  const moved = isOpen ? await correctCalls(database, posting) : await bookEvents(database, posting);
  if (isApiError(moved)) return moved;
  const { events, teamIds } = moved;
  return notePosting(
    database,
    { ...which, amountUsd: formatUsd(usd(difference.amount)), events, reason, actor },
    teamIds,
  );
}

interface Moved {
  events: number;
  teamIds: TeamId[];
}

const isSameModel = (a: string, b: string) => namesOf(a).at(-1) === namesOf(b).at(-1);

/** Corrects the calls that were not corrected yet, so that all of them cost what was billed. */
async function correctCalls(
  database: Database,
  { row, difference, reason, actor }: Posting,
): Promise<Moved | ApiError> {
  const kinds: string[] = [difference.kind, ...difference.with];
  const calls = (await readOpenCalls(database, Date.parse(row.day), row.upstream || null)).filter(
    ({ model, tier, state }) =>
      kinds.includes(state) &&
      (difference.tier === null || tier === difference.tier) &&
      (difference.model === null || isSameModel(model, difference.model)),
  );
  const open = calls.filter(({ corrected }) => corrected === null);
  const moved = calls.reduce((sum, { corrected }) => sum + (corrected ?? 0n), 0n);
  const charged = open.reduce((sum, { cost }) => sum + cost, 0n);
  const billed = charged + usd(difference.amount) - moved;
  if (billed < 0n || (open.length === 0 && billed !== 0n))
    return apiError('conflict', 'these calls were corrected otherwise meanwhile');
  let left = { charged, billed };
  for (const call of open) {
    const cost = left.charged === 0n ? left.billed : (left.billed * call.cost) / left.charged;
    left = { charged: left.charged - call.cost, billed: left.billed - cost };
    const corrected = await correctCall(database, { eventId: call.id, cost, reason, actor });
    if (corrected === null || isApiError(corrected))
      return apiError('conflict', 'these calls were corrected otherwise meanwhile');
  }
  return { events: calls.length, teamIds: [...new Set(open.map(({ teamId }) => teamId))] };
}

async function bookEvents(database: Database, posting: Posting): Promise<Moved> {
  const shares = await sharesOf(database, posting);
  const events: FlushEvent[] = [];
  for (const [teamId, amount] of shares)
    if (amount !== 0n) events.push(await eventOf(database, posting, teamId, amount));
  await book(database.sql, events);
  return { events: events.length, teamIds: [...shares.keys()] };
}

/** A changed price falls on the teams that used the model, by what it cost them; the rest on who was named. */
async function sharesOf(
  database: Database,
  { row, difference, teamId }: Posting,
): Promise<Map<TeamId, PicoUsd>> {
  const amount = usd(difference.amount);
  const bearer = teamId ?? ORGANIZATION_ID;
  const { kind, model, tier } = difference;
  if (kind !== 'price_changed' || model === null || teamId !== null) return new Map([[bearer, amount]]);
  const costs = new Map<TeamId, PicoUsd>();
  for (const each of await readTeamCosts(database, Date.parse(row.day), row.upstream || null)) {
    if (each.tier === tier && isSameModel(each.model, model))
      costs.set(each.teamId, (costs.get(each.teamId) ?? 0n) + each.cost);
  }
  let left = { cost: [...costs.values()].reduce((sum, cost) => sum + cost, 0n), amount };
  if (left.cost === 0n) return new Map([[bearer, amount]]);
  return new Map(
    [...costs].map(([team, cost]) => {
      const share = (left.amount * cost) / left.cost;
      left = { cost: left.cost - cost, amount: left.amount - share };
      return [team, share];
    }),
  );
}

/** Stands for the key and the instance of what no call was. */
const NONE = '00000000-0000-0000-0000-000000000000';

async function eventOf(
  database: Database,
  { row, difference }: Posting,
  teamId: TeamId,
  cost: PicoUsd,
): Promise<FlushEvent> {
  const dayMs = Date.parse(row.day);
  const facts = {
    ...{
      teamId,
      keyId: asId(NONE),
      operation: POSTING_OPERATION,
      model: difference.model ?? difference.kind,
    },
    ...{ stream: false, endUser: null, outputLimit: null, priceId: null, upstream: row.upstream || null },
    departments: await departmentsOf(database, teamId),
  } as const;
  const outcome = {
    ...{ outcome: 'settled' as const, provenance: 'reported' as const, reason: difference.kind },
    ...{ upstreamStatus: null, upstreamRequestId: null, responseModel: null, serviceTier: difference.tier },
    ...{ usage: {}, cost, priceId: null },
  };
  const id = idOf(`${row.day} ${row.upstream} ${difference.id} ${teamId}`, dayMs + DAY_MS - 1);
  const held = factsJson(id, NONE, { ...facts, keyId: asId(NONE) }, 0n);
  const paid = await allocationsOf(database, teamId, cost, dayMs);
  return eventFromJson(eventJson(held, outcome, JSON.stringify(paid)));
}

/** Grants pay, or are paid back, at the end of the day: what no grant covers is an overrun of the last. */
async function allocationsOf({ sql }: Database, teamId: TeamId, cost: PicoUsd, dayMs: number) {
  const grants = await payingGrants(sql, teamId, dayMs + DAY_MS - 1);
  let rest = cost;
  return grants.flatMap(({ counterId, left }, index) => {
    const isLast = index === grants.length - 1;
    const part = isLast || rest < left ? rest : left;
    rest -= part;
    return part === 0n ? [] : [{ counter: counterId, held: '0.00', settled: formatUsd(part) }];
  });
}

/** A UUIDv7 of the last moment of the day, its rest made of the difference: the same on every replica. */
function idOf(name: string, atMs: number): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 16);
  bytes.writeUIntBE(atMs, 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
