/** Tollgate before real servers: each is a `compatible` upstream of tollgate.yaml, and each has a team. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { expect, inject } from 'vitest';
import { stringify } from 'yaml';
import { usd } from '../../src/domain/money.ts';
import { readEvents, type UsageEvent } from '../e2e/books.ts';
import { type Stack, startStack } from '../e2e/stack.ts';
import type { ServerKind } from './kind.ts';
import { type Recorded, type Usage, usageOf } from './recorder.ts';
import { RunningServer } from './running.ts';

/** The model's context, as model.py makes it, in tokens. */
export const CONTEXT = 2048;
/** In USD for 1,000,000 tokens, so also in pico-USD for a millionth of a token. */
const PRICES = { input: 2, cached_input: 0.5, output: 8 };

export interface House {
  servers: readonly RunningServer[];
  stack: Stack;
  /** A new team's id and key. */
  team(grantUsd: string, changes?: object): Promise<{ teamId: string; key: string; sdk: OpenAI }>;
  close(): Promise<void>;
}

/** Starts these servers and Tollgate before them; their common model is `tiny`. */
export async function openHouse(kinds: readonly ServerKind[]): Promise<House> {
  const model = inject('model');
  const installed = inject('servers');
  const servers: RunningServer[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-servers-'));
  const end = async () => {
    await Promise.all(servers.map((each) => each.kill()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const kind of kinds) {
      servers.push(await RunningServer.start(kind, installed[kind.name]?.home ?? '', model));
    }
    const upstreams = servers.map((each) => upstreamOf(each, model));
    const path = join(folder, 'tollgate.yaml');
    writeFileSync(path, stringify({ upstreams }));
    const stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path } });
    const close = async () => {
      await stack.stop();
      await end();
    };
    return { servers, stack, team: (grantUsd, changes) => newTeam(stack, grantUsd, changes), close };
  } catch (error) {
    await end();
    throw error;
  }
}

function upstreamOf({ kind, recorder }: RunningServer, model: string): object {
  const texts = Object.entries(PRICES).map(([meter, price]) => [meter, String(price)]);
  return {
    name: kind.name,
    kind: 'compatible',
    base_url: `${recorder.url}/v1`,
    model_names: { tiny: kind.modelName(model) },
    prices: {
      tiny: { ...Object.fromEntries(texts), max_input_tokens: CONTEXT, max_output_tokens: CONTEXT },
    },
    max_output_tokens: CONTEXT,
    ...kind.settings,
  };
}

let teams = 0;
async function newTeam(stack: Stack, grantUsd: string, changes?: object) {
  const named = { name: `servers-${++teams}`, plan: null };
  const { id: teamId } = await stack.admin<{ id: string }>('POST', '/teams', named);
  if (changes !== undefined) await stack.admin('PATCH', `/teams/${teamId}`, changes);
  await stack.admin('POST', '/grants', { team_id: teamId, amount_usd: grantUsd, max_unknown_usd: grantUsd });
  const { key } = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'app' });
  const sdk = new OpenAI({ baseURL: `${stack.app.url}/v1`, apiKey: key, maxRetries: 0, timeout: 240_000 });
  return { teamId, key, sdk };
}

/** Returns the pico-USD of a usage. */
export function costOf({ input, cached, output }: Usage): bigint {
  const price = (meter: keyof typeof PRICES, tokens: number) => BigInt(PRICES[meter] * 1_000_000 * tokens);
  return price('input', input - cached) + price('cached_input', cached) + price('output', output);
}

export interface Pair {
  event: UsageEvent;
  /** What the server said to it; missing: it got no request. */
  record: Recorded | undefined;
  usage: Usage | null;
}

/** Returns a team's calls, oldest first, each beside what the server said. @throws when two have one id, or one was sent twice */
export async function pairsOf({ stack, servers }: House, teamId: string): Promise<Pair[]> {
  await stack.idle();
  await stack.settled();
  const records = Map.groupBy(
    servers.flatMap(({ recorder }) => recorder.records),
    ({ id }) => id,
  );
  const events = await readEvents(stack, teamId);
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
  const sentTwice = events.filter(({ id }) => (records.get(id)?.length ?? 0) > 1);
  expect(sentTwice.map(({ id }) => id)).toEqual([]);
  return events.map((event) => {
    const [record] = records.get(event.id) ?? [];
    return { event, record, usage: record?.end === 'whole' ? usageOf(record) : null };
  });
}

/** Every way in which the ledger and the servers disagree, in words. */
export function disagreements(pairs: readonly Pair[]): string[] {
  return pairs.flatMap(({ event, record, usage }) => {
    const why = disagreement(event, record, usage);
    if (why === null) return [];
    const { operation, outcome, provenance, reason, cost_usd, hold_usd } = event;
    const seen = `${record?.status} ${record?.end} ${JSON.stringify(usage)}`;
    return [`${why}: ${operation} ${outcome}/${provenance}/${reason} ${cost_usd} of ${hold_usd}; ${seen}`];
  });
}

function disagreement(event: UsageEvent, record: Recorded | undefined, usage: Usage | null): string | null {
  const cost = usd(event.cost_usd);
  if (cost > usd(event.hold_usd)) return 'above its hold';
  if (event.outcome === 'voided') {
    return cost === 0n && (record === undefined || usage === null) ? null : 'voided, but it was served';
  }
  if (record === undefined) return 'charged, but not sent';
  if (event.outcome === 'unknown') {
    // Without usage: over HTTP/1.0 a stream ends in the same way where its server was killed.
    const isCut = record.end !== 'whole' || usage === null;
    const mayNotKnow = isCut || record.status >= 500 || event.reason === 'client_gone';
    return mayNotKnow ? null : 'unknown, but the server told';
  }
  if (event.provenance !== 'reported')
    return cost >= (usage === null ? 0n : costOf(usage)) ? null : 'less than it said';
  if (usage === null) return 'reported, but the server said nothing';
  if (cost !== costOf(usage)) return `not the cost of its usage, ${costOf(usage)}`;
  const { input_tokens: input, cached_input_tokens: cached, output_tokens: output } = event;
  const same = input === usage.input && cached === usage.cached && output === usage.output;
  return same ? null : `other tokens: ${input} ${cached} ${output}`;
}
