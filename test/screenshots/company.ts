/** The company on the screenshots: teams, what they may spend, and two months of what they spent. The same in every run. */
import type { PicoUsd } from '../../src/domain/money.ts';
import { eventJson, factsJson, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';
import { factsOf, settledOutcome } from '../support/events.ts';

interface Work {
  model: string;
  operation: string;
  /** USD of a million tokens. */
  input: number;
  output: number;
  callsPerDay: number;
  /** Of a usual call. */
  inputTokens: number;
  outputTokens: number;
}

export interface Department {
  name: string;
  /** What its calls are for: values of the tag `project`, the most usual first. */
  projects: string[];
  /** The department above it; null: none. */
  above: string | null;
  plan: string | null;
  limits: { amount: string; unit: 'day' | 'month' | null }[];
  keys: string[];
  work: Work[];
}

const chat = (
  model: string,
  [input, output]: [number, number],
  callsPerDay: number,
  [inputTokens, outputTokens]: [number, number],
): Work => ({ model, operation: 'chat.completions', input, output, callsPerDay, inputTokens, outputTokens });

export const DEPARTMENTS: readonly Department[] = [
  {
    name: 'research',
    projects: ['atlas', 'genome', 'weather'],
    above: 'Science',
    plan: null,
    limits: [{ amount: '900', unit: 'month' }],
    keys: ['notebooks', 'evaluation'],
    work: [
      { ...chat('gpt-6-astra', [10, 50], 9, [42_000, 9_000]), operation: 'responses' },
      chat('gpt-5.6-sol', [4, 20], 22, [30_000, 6_000]),
    ],
  },
  {
    name: 'product',
    projects: ['assistant', 'search', 'onboarding'],
    above: 'Products',
    plan: null,
    limits: [{ amount: '400', unit: 'month' }],
    keys: ['assistant', 'staging'],
    work: [
      chat('gpt-5.6-terra', [2, 12], 40, [18_000, 3_000]),
      chat('gpt-5.6-luna', [0.2, 1.2], 60, [9_000, 900]),
    ],
  },
  {
    name: 'support',
    projects: ['helpdesk', 'translation'],
    above: 'Products',
    plan: null,
    limits: [
      { amount: '6', unit: 'day' },
      { amount: '120', unit: 'month' },
    ],
    keys: ['helpdesk'],
    work: [
      chat('gpt-5.4-nano', [0.2, 1.25], 120, [14_000, 500]),
      { ...chat('text-embedding-3-small', [0.02, 0], 40, [60_000, 0]), operation: 'embeddings' },
    ],
  },
  {
    name: 'data platform',
    projects: ['atlas', 'warehouse'],
    above: 'Science',
    plan: null,
    limits: [{ amount: '150', unit: 'month' }],
    keys: ['pipelines'],
    work: [chat('gpt-5.6-luna', [0.2, 1.2], 90, [52_000, 4_000])],
  },
  {
    name: 'trial',
    projects: ['sandbox'],
    above: null,
    plan: 'free-tier',
    limits: [],
    keys: ['sandbox'],
    work: [],
  },
  {
    name: 'interns',
    projects: ['sandbox'],
    above: null,
    plan: null,
    limits: [{ amount: '0.01', unit: null }],
    keys: ['playground'],
    work: [],
  },
];

const DAYS = 62;
const DAY_MS = 86_400_000;
/** Since midnight, where the pictures are taken. */
const AFTERNOON_MS = 16 * 3_600_000;
const PICO_PER_USD_OF_A_MILLION_TOKENS = 1_000_000;

/** Numbers that look like chance and are the same each time. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A team as the API made it. */
export interface MadeTeam {
  id: string;
  keyIds: string[];
  keys: string[];
  /** The departments above it, as an event names them. */
  departments: string | null;
}

/** What a team's applications called, one event each, from two months ago until shortly before now. */
export function historyOf(
  department: Department,
  team: MadeTeam,
  instanceId: string,
  nowMs: number,
): FlushEvent[] {
  const roll = dice(department.name.length * 7919);
  const events: FlushEvent[] = [];
  for (let day = DAYS; day >= 0; day--) {
    const startMs = nowMs - AFTERNOON_MS - day * DAY_MS;
    // Fewer calls at weekends, more from month to month.
    const weekend = [0, 6].includes(new Date(startMs).getUTCDay()) ? 0.25 : 1;
    const growth = 1 - day / (DAYS * 2.5);
    for (const work of department.work) {
      const calls = Math.round(work.callsPerDay * weekend * growth * (0.7 + 0.6 * roll()));
      for (let call = 0; call < calls; call++) {
        const atMs = startMs + Math.floor((7 + (11 * (roll() + roll())) / 2) * 3_600_000);
        const { projects } = department;
        const project = projects[Math.floor(projects.length * roll() ** 2)] ?? null;
        // Some have finished: their tag is closed by now.
        const isOver = project === projects.at(-1) && projects.length > 2 && day < 20;
        const event = eventOf(work, team, instanceId, atMs, roll, isOver ? null : project);
        if (atMs < nowMs - 120_000) events.push(event);
      }
    }
  }
  return events;
}

function eventOf(
  work: Work,
  team: MadeTeam,
  instanceId: string,
  atMs: number,
  roll: () => number,
  project: string | null,
): FlushEvent {
  const inputTokens = Math.round(work.inputTokens * (0.4 + 1.2 * roll()));
  const outputTokens = Math.round(work.outputTokens * (0.3 + 1.4 * roll()));
  const keyId = team.keyIds[roll() < 0.75 ? 0 : team.keyIds.length - 1]!;
  const cost: PicoUsd =
    BigInt(inputTokens) * BigInt(work.input * PICO_PER_USD_OF_A_MILLION_TOKENS) +
    BigInt(outputTokens) * BigInt(work.output * PICO_PER_USD_OF_A_MILLION_TOKENS);
  const usage = {
    input_tokens: inputTokens,
    cached_input_tokens: roll() < 0.4 ? Math.round(inputTokens * 0.6) : 0,
    cache_write_tokens: 0,
    output_tokens: outputTokens,
    reasoning_tokens: Math.round(outputTokens / 3),
  };
  const { model, operation } = work;
  const facts = factsOf(team.id, keyId, {
    ...{ model, operation, departments: team.departments, stream: operation !== 'embeddings' },
    ...(project === null ? {} : { tags: [`project=${project}`] }),
  } as Parameters<typeof factsOf>[2]);
  const forward = Math.round(
    300_000 + outputTokens * (400 + 2_600 * Math.sqrt(work.output / 50)) * (0.8 + 0.4 * roll()),
  );
  const stageUs = {
    route: 12,
    authenticate: 14,
    upload: 41,
    parse: 60,
    estimate: 21,
    reserve: 55,
    forward,
    settle: 46,
    record: 31,
    first_byte: 290_000 + Math.round(forward / 40),
  };
  const held = cost + cost / 4n;
  const outcome = settledOutcome(cost, {
    usage,
    responseModel: model,
  });
  return eventFromJson(eventJson(factsJson(uuidV7(atMs), instanceId, facts, held), outcome, '[]', stageUs));
}
