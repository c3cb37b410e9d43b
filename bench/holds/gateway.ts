/** One gateway of the bench of holds, with an upstream of its own: its teams, their calls, and what they left. */
import { mkdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RateCards } from '../../src/domain/price.ts';
import { startTollgate } from '../tollgate.ts';
import type { Request } from './conversations.ts';
import type { CountingUpstream } from './upstream.ts';

/** What the bench reads of an event. */
export interface Event {
  hold_usd: string;
  cost_usd: string;
  input_tokens: number;
  output_tokens: number;
}

export interface Holds {
  rates: RateCards;
  upstream: CountingUpstream;
  origin: string;
  adminKey: string;
  /** An earlier build, which may refuse calls that this one lets pass, and hold less than their bills. */
  isOlder: boolean;
}

interface HoldsOptions extends Pick<Holds, 'rates' | 'upstream' | 'isOlder'> {
  /** Its folder, with a slash at its end. */
  build: string;
  /** Gets its data. */
  dir: string;
}

/** Starts a build, and its upstream. */
export async function startHolds({ build, dir, rates, upstream, isOlder }: HoldsOptions): Promise<Holds> {
  mkdirSync(dir, { mode: 0o755 });
  const upstreamPort = await upstream.listen();
  const env = { TOLLGATE_INPUT_COUNTING: 'encoding' };
  const options = { build, upstreamPort, upstreamConnections: 16, dir, nodeFlags: [], env };
  const { port } = await startTollgate(options, () => {});
  const { adminKey } = JSON.parse(readFileSync(`${dir}/keys.json`, 'utf8')) as { adminKey: string };
  return { rates, upstream, origin: `http://127.0.0.1:${port}`, adminKey, isOlder };
}

export interface Team {
  id: string;
  key: string;
}

export async function admin<T>(
  { origin, adminKey }: Holds,
  method: string,
  path: string,
  body?: object,
): Promise<T> {
  const response = await fetch(`${origin}/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

export async function makeTeam(holds: Holds, grantUsd: string): Promise<Team> {
  const name = `holds-${Math.round(performance.now() * 1000)}`;
  const { id } = await admin<{ id: string }>(holds, 'POST', '/teams', { name, plan: null });
  await admin(holds, 'POST', '/grants', { team_id: id, amount_usd: grantUsd });
  const { key } = await admin<{ key: string }>(holds, 'POST', '/keys', { team_id: id, name: 'bench' });
  return { id, key };
}

/** A 503 costs nothing: it is tried again, as SDKs do. */
export const TRIES = 20;
export const RETRY_MS = 500;

export async function send({ origin }: Holds, { key }: Team, { path, body }: Request): Promise<Response> {
  const options = {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  };
  for (let tries = 1; ; tries++) {
    const response = await fetch(`${origin}/v1${path}`, options);
    if (response.status !== 503 || tries === TRIES) return response;
    await sleep(RETRY_MS);
  }
}

export async function eventsOf(holds: Holds, teamId: string): Promise<Event[]> {
  const events: Event[] = [];
  let after: string | null = null;
  do {
    const query = new URLSearchParams({
      limit: '1000',
      team_id: teamId,
      ...(after === null ? {} : { after }),
    });
    const page: { data: Event[]; next: string | null } = await admin(holds, 'GET', `/events?${query}`);
    events.push(...page.data);
    after = page.next;
  } while (after !== null);
  return events;
}
