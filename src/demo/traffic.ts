/**
 * Sample traffic: the cast's applications, each with the official SDK, a team's key and one changed line, the base URL.
 * Owns: when which call is made, and how often a call was denied. What calls cost, only the gateway knows.
 */
import OpenAI from 'openai';
import type { Habit } from './cast.ts';
import type { Player } from './teams.ts';

export interface TrafficOptions {
  /** The gateway's, with `/v1`. */
  baseUrl: string;
  players: readonly Player[];
  callsPerSecond: number;
}

export interface Traffic {
  /** Calls that a budget refused, by team id, as the SDK told its application. */
  readonly denials: ReadonlyMap<string, number>;
  /** What else went wrong: nothing should. */
  readonly failures: readonly string[];
  /** Makes no further calls; those under way may finish for a few seconds. */
  stop(): Promise<void>;
}

const TICK_MS = 50;
/** A gateway that is slow must not let calls pile up here without end. */
const IN_FLIGHT_MAX = 200;
const FINISH_MS = 3_000;
const FAILURES_MAX = 100;

interface Application {
  teamId: string;
  client: OpenAI;
  habit: Habit;
}

export function startTraffic({ baseUrl, players, callsPerSecond }: TrafficOptions): Traffic {
  const denials = new Map<string, number>();
  const failures: string[] = [];
  const underWay = new Set<Promise<void>>();
  const abort = new AbortController();
  const pick = picker(applicationsOf(players, baseUrl));

  const begin = () => {
    const { teamId, client, habit } = pick();
    const call: Promise<void> = makeCall(client, habit, abort.signal)
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        if (error instanceof OpenAI.RateLimitError) denials.set(teamId, (denials.get(teamId) ?? 0) + 1);
        else if (failures.length < FAILURES_MAX) failures.push((error as Error).message);
      })
      .finally(() => underWay.delete(call));
    underWay.add(call);
  };
  let due = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    due += (callsPerSecond * (nowMs - lastMs)) / 1000;
    lastMs = nowMs;
    for (; due >= 1; due--) if (underWay.size < IN_FLIGHT_MAX) begin();
  }, TICK_MS);

  return {
    denials,
    failures,
    async stop() {
      clearInterval(timer);
      const late = setTimeout(() => abort.abort(), FINISH_MS);
      await Promise.all(underWay);
      clearTimeout(late);
    },
  };
}

function applicationsOf(players: readonly Player[], baseUrl: string): Application[] {
  return players.flatMap(({ teamId, key, role }) => {
    // Explicit nulls: the environment's organisation and project belong to real keys.
    const client = new OpenAI({ baseURL: baseUrl, apiKey: key, organization: null, project: null });
    return role.habits.map((habit) => ({ teamId, client, habit }));
  });
}

/** Draws applications as often as their weights say: one lot for each unit of weight. */
function picker(applications: readonly Application[]): () => Application {
  const lots = applications.flatMap((one) => Array.from({ length: one.habit.weight }, () => one));
  return () => lots[Math.floor(Math.random() * lots.length)]!;
}

async function makeCall(client: OpenAI, habit: Habit, signal: AbortSignal): Promise<void> {
  const { api, model, stream, maxOutputTokens, prompts } = habit;
  const prompt = prompts[Math.floor(Math.random() * prompts.length)]!;
  if (api === 'embeddings') {
    await client.embeddings.create({ model, input: prompts.slice() }, { signal });
  } else if (api === 'responses') {
    const request = { model, input: prompt, max_output_tokens: maxOutputTokens };
    if (stream) await readAll(await client.responses.create({ ...request, stream }, { signal }));
    else await client.responses.create(request, { signal });
  } else {
    const messages = [{ role: 'user' as const, content: prompt }];
    const request = { model, messages, max_completion_tokens: maxOutputTokens };
    if (stream) await readAll(await client.chat.completions.create({ ...request, stream }, { signal }));
    else await client.chat.completions.create(request, { signal });
  }
}

async function readAll(stream: AsyncIterable<object>): Promise<void> {
  for await (const _event of stream);
}
