/**
 * The agents: many parallel calls without an output limit on a small budget, each agent with its next call as soon as the
 * last one ended, through the official SDK as it comes, retries and all. What counts is how much work is done before the
 * first refusal reaches an agent, and how many answers were cut by an output limit that the gateway wrote in.
 */
import OpenAI from 'openai';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import { type Citus, inHouse } from './house.ts';
import type { Replica } from './replica.ts';

export interface AgentsRun {
  /** The database; missing: one PostgreSQL. */
  citus?: Citus | null;
  model: AgentModel;
  replicas: number;
  workers: number;
  agents: number;
  budgetUsd: string;
  seed: number;
  /** How fast a model writes; real ones some hundred. */
  tokensPerSecond: number;
  progress(text: string): void;
}

export interface AgentsRow {
  model: string;
  replicas: number;
  agents: number;
  budgetUsd: string;
  seed: number;
  tokensPerSecond: number;
  seconds: number;
  /** All of these before the first refusal reached an agent. */
  answers: number;
  work: PicoUsd;
  cut: number;
  /** Answers that the SDK got and kept to itself, trying again: by status. */
  retried: Record<string, number>;
  /** The first refusal, as its agent saw it. */
  refusal: string;
}

/** What must be done of the budget, and how many answers may be cut, in percent. */
export interface AgentModel {
  name: string;
  workLeast: number;
  cutMost: number;
}

/** $0.25/$2 and $2/$10 per million tokens. */
export const AGENT_MODELS: readonly AgentModel[] = [
  { name: 'gpt-5-mini', workLeast: 95, cutMost: 1 },
  { name: 'gpt-6-sol', workLeast: 85, cutMost: 3 },
];

const TASK = 'Read the module below, then write the tests that it lacks. Explain each in one sentence. ';
const PROGRESS_MS = 10_000;

export async function runAgents(run: AgentsRun): Promise<AgentsRow> {
  const { model, replicas, workers, budgetUsd, seed, tokensPerSecond, citus, progress } = run;
  const pace = ['--first-byte-ms', '200', '--tokens-per-s', String(tokensPerSecond)];
  const simulator = ['--seed', String(seed), '--median-output', '600', '--p99-output', '8000', ...pace];
  return inHouse({ gateway: 'tollgate', replicas, workers, budgetUsd, citus, simulator }, async (house) => {
    const startedMs = performance.now();
    const row: AgentsRow = {
      ...run,
      model: model.name,
      seconds: 0,
      answers: 0,
      work: 0n,
      cut: 0,
      retried: {},
      refusal: '',
    };
    const timer = setInterval(() => progress(describe(row)), PROGRESS_MS);
    const team = new Team(run, house.replicas, house.key, row);
    await team.work();
    clearInterval(timer);
    row.seconds = (performance.now() - startedMs) / 1000;
    return row;
  });
}

/** Agents that stop together at the first refusal. */
class Team {
  readonly #run: AgentsRun;
  readonly #row: AgentsRow;
  readonly #clients: OpenAI[];
  readonly #over = new AbortController();

  constructor(run: AgentsRun, replicas: Replica[], key: string, row: AgentsRow) {
    this.#run = run;
    this.#row = row;
    this.#clients = replicas.map(
      ({ url }) =>
        new OpenAI({ apiKey: key, baseURL: `${url}/v1`, fetch: (...request) => this.#fetch(request) }),
    );
  }

  async work(): Promise<void> {
    await Promise.all(Array.from({ length: this.#run.agents }, (_, agent) => this.#live(agent)));
  }

  async #live(agent: number): Promise<void> {
    const client = this.#clients[agent % this.#clients.length]!;
    const messages = [{ role: 'user' as const, content: TASK.repeat(1 + (agent % 10)) }];
    while (!this.#over.signal.aborted) {
      try {
        const call = client.chat.completions.create(
          { model: this.#run.model.name, messages },
          { signal: this.#over.signal },
        );
        const { data, response } = await call.withResponse();
        if (this.#over.signal.aborted) return;
        this.#row.answers++;
        this.#row.work += usd(response.headers.get('x-tollgate-cost-usd') ?? '0');
        if (data.choices[0]?.finish_reason === 'length') this.#row.cut++;
      } catch (error) {
        if (!this.#over.signal.aborted) this.#row.refusal = (error as Error).message;
        this.#over.abort();
      }
    }
  }

  async #fetch(request: Parameters<typeof fetch>): Promise<Response> {
    const response = await fetch(...request);
    const { retried } = this.#row;
    if (response.status !== 200) retried[response.status] = (retried[response.status] ?? 0) + 1;
    return response;
  }
}

/** A row in words. */
export function describe({ model, answers, work, budgetUsd, cut, retried }: AgentsRow): string {
  const share = (Number(work) / Number(usd(budgetUsd))) * 100;
  const refusals = Object.entries(retried).map(([status, count]) => `${count} × ${status}`);
  return (
    `${model}: ${answers} answers, ${share.toFixed(1)} % of $${budgetUsd} done, ` +
    `${cut} cut (${((100 * cut) / Math.max(1, answers)).toFixed(2)} %), refused ${refusals.join(', ') || 'never'}`
  );
}

/** Every promise that a row breaks. */
export function brokenAgentPromises(row: AgentsRow, { workLeast, cutMost }: AgentModel): string[] {
  const broken: string[] = [];
  if (row.work * 100n < usd(row.budgetUsd) * BigInt(workLeast))
    broken.push(`less than ${workLeast} % done before: ${row.refusal}`);
  if (row.cut * 100 > row.answers * cutMost) broken.push(`more than ${cutMost} % of the answers cut`);
  return broken;
}
