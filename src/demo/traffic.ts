/**
 * Sample traffic: the applications of the demo's teams, each with the official SDK, a team's key and one changed line,
 * the base URL. Owns: when each call is made, and the count of denials. Does not own: what calls cost (the gateway).
 */
import OpenAI from 'openai';
import type { DemoTeam, Workload } from './teams.ts';

export interface TrafficOptions {
  /** The gateway's URL, with `/v1`. */
  baseUrl: string;
  teams: readonly DemoTeam[];
  callsPerSecond: number;
}

export interface Traffic {
  /** Denials by team id, as the SDK reported them. */
  readonly denials: ReadonlyMap<string, number>;
  /** Messages of all other errors. */
  readonly failures: readonly string[];
  /** Stops new calls; gives those under way a few seconds to finish. */
  stop(): Promise<void>;
}

const TICK_MS = 50;
/** Bounds the calls that pile up here while the gateway is slow. */
const IN_FLIGHT_MAX = 200;
const FINISH_MS = 3_000;
const FAILURES_MAX = 100;

interface Application {
  teamId: string;
  client: OpenAI;
  workload: Workload;
}

export function startTraffic({ baseUrl, teams, callsPerSecond }: TrafficOptions): Traffic {
  const denials = new Map<string, number>();
  const failures: string[] = [];
  const underWay = new Set<Promise<void>>();
  const abort = new AbortController();
  const pick = picker(applicationsOf(teams, baseUrl));

  const begin = () => {
    const application = pick();
    if (application === undefined) return;
    const { teamId, client, workload } = application;
    const call: Promise<void> = makeCall(client, workload, abort.signal)
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

function applicationsOf(teams: readonly DemoTeam[], baseUrl: string): Application[] {
  return teams.flatMap(({ teamId, key, profile }) => {
    // Explicit nulls: the environment's organisation and project belong to real keys.
    const client = new OpenAI({ baseURL: baseUrl, apiKey: key, organization: null, project: null });
    return profile.workloads.map((workload) => ({ teamId, client, workload }));
  });
}

/** Returns a function that picks an application at random, by weight. */
function picker(applications: readonly Application[]): () => Application | undefined {
  const lots = applications.flatMap((one) => Array.from({ length: one.workload.weight }, () => one));
  return () => lots[Math.floor(Math.random() * lots.length)];
}

async function makeCall(client: OpenAI, workload: Workload, signal: AbortSignal): Promise<void> {
  const { api, model, stream, maxOutputTokens, prompts } = workload;
  const prompt = prompts[Math.floor(Math.random() * prompts.length)] ?? prompts[0];
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
