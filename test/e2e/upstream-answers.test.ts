/** Each way an upstream can end a call: what it costs, as docs/ERRORS.md says, and what the client gets. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readBalance, readEvents, type UsageEvent } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type Recorder, startRecorder } from './wire.ts';

interface Answer {
  name: string;
  operation: 'chat.completions' | 'responses' | 'completions' | 'embeddings';
  stream: boolean;
  status: number;
  content_type: string;
  body: string;
  then: 'end' | 'reset';
  /** The row of docs/ERRORS.md. */
  row: string;
  /** The stream ends with an error event of Tollgate's. */
  error_event: boolean;
  /** Beside what every request says. */
  request?: object;
  /** What its usage says: input and output. */
  tokens?: [number, number];
  sequence_number?: number;
}

const ANSWERS = readFileSync(new URL('../fixtures/upstream-answers.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Answer);

/** The table: the outcome and the reasons by row. */
const ROWS = new Map(
  [
    ...readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8').matchAll(
      /^\| `([\w-]+)` +\| [^|]+\| (settled|void|unknown|estimated) +\|([^|]*)\|/gm,
    ),
  ].map(([, row, outcome, reasons]) => [row!, { outcome: outcome!, reasons: reasons! }]),
);

const OUTCOMES: Record<string, Partial<UsageEvent>> = {
  settled: { outcome: 'settled', provenance: 'reported' },
  void: { outcome: 'voided' },
  unknown: { outcome: 'unknown', provenance: 'unknown' },
  estimated: { outcome: 'settled', provenance: 'estimated' },
};

const REQUESTS = {
  'chat.completions': [
    '/chat/completions',
    { model: 'gpt-5-mini', max_completion_tokens: 100, messages: [{ role: 'user', content: 'x' }] },
  ],
  responses: ['/responses', { model: 'gpt-5-mini', max_output_tokens: 100, input: 'x' }],
  completions: ['/completions', { model: 'gpt-3.5-turbo-instruct', max_tokens: 100, prompt: 'x' }],
  embeddings: ['/embeddings', { model: 'text-embedding-3-small', input: 'x' }],
} as const;

let stack: Stack;
let recorder: Recorder;
let healthyKey: string;
beforeAll(async () => {
  recorder = await startRecorder({ status: 200, headers: [], body: '' });
  stack = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
  ({ key: healthyKey } = await stack.team({ grantUsd: '100.00' }));
});
afterAll(async () => {
  await stack.stop();
  recorder.close();
});

const GOOD =
  '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}';

/** Another team's success shows that the upstream lives; the breaker would turn the next team away otherwise. */
async function succeed() {
  recorder.answer = { status: 200, headers: ['content-type', 'application/json'], body: GOOD };
  const [path, fields] = REQUESTS['chat.completions'];
  for (let attempt = 1; ; attempt++) {
    const response = await stack.post(healthyKey, path, fields);
    const text = await response.text();
    if (response.ok) return;
    // Repeated as the SDKs do, and shown with its reason if that does not help.
    if (response.status !== 503 || attempt === 4) expect([response.status, text]).toEqual([200, '']);
    await delay(Number(response.headers.get('retry-after-ms')));
  }
}

/** Makes the upstream respond so, and calls it as a team of its own. */
async function callFor({ operation, stream, status, content_type, body, then, request }: Answer) {
  await succeed();
  recorder.answer = {
    status,
    headers: ['content-type', content_type, 'x-should-retry', 'true'],
    body(response) {
      if (then === 'end') response.end(body);
      else {
        response.flushHeaders();
        response.write(body, () => setTimeout(() => response.destroy(), 20));
        if (body === '') response.destroy();
      }
    },
  };
  const team = await stack.team({ grantUsd: '100.00' });
  const [path, fields] = REQUESTS[operation];
  const response = await stack.post(team.key, path, { ...fields, ...(stream && { stream }), ...request });
  return { team, response, text: await response.text() };
}

describe('docs/ERRORS.md', { timeout: 90_000 }, () => {
  const ELSEWHERE = ['unreachable', 'unsent', 'left'];

  it('has a row for every case, and a case for every row', () => {
    expect([...new Set([...ANSWERS.map(({ row }) => row), ...ELSEWHERE])].sort()).toEqual(
      [...ROWS.keys()].sort(),
    );
  });

  it.each(ANSWERS)('holds for $name: $row', async (answer) => {
    const { team, response, text } = await callFor(answer);
    const [event, ...others] = await readEvents(stack, team.teamId);
    const { outcome, reasons } = ROWS.get(answer.row)!;
    expect(others).toEqual([]);
    expect(event).toMatchObject(OUTCOMES[outcome]!);
    expect(reasons).toContain(event!.reason ?? 'none');
    if (outcome === 'void') expect(usd(event!.cost_usd)).toBe(0n);
    // One token more than was held was written.
    else if (answer.row === 'over-limit')
      expect(usd(event!.cost_usd) - usd(event!.hold_usd)).toBe(usd('0.000002'));
    else if (outcome !== 'settled') expect(event!.cost_usd).toBe(event!.hold_usd);
    if (answer.tokens) expect([event!.input_tokens, event!.output_tokens]).toEqual(answer.tokens);
    const { settled_usd, held_usd } = await readBalance(stack, team.teamId);
    expect([usd(settled_usd), usd(held_usd)]).toEqual([usd(event!.cost_usd), 0n]);

    const isStream = response.headers.get('content-type') === 'text/event-stream';
    if (isStream) expectStreamOf(answer, text);
    else if (answer.then === 'end') {
      expect([response.status, text]).toEqual([answer.status, answer.body]);
      expect(response.headers.get('x-should-retry')).toBe(outcome === 'unknown' ? 'false' : 'true');
    } else {
      expect(response.status).toBe(502);
      expect(response.headers.get('x-should-retry')).toBe('false');
    }
  });

  it('prices `fast` as `priority`', async () => {
    const answer = ANSWERS.find(({ name }) => name === 'answered-fast-for-priority')!;
    const { team } = await callFor(answer);
    const fast = (await readEvents(stack, team.teamId))[0]!;
    const other = await callFor({ ...answer, body: answer.body.replace('"fast"', '"priority"') });
    const priority = (await readEvents(stack, other.team.teamId))[0]!;
    expect(fast.price_id).toBe(priority.price_id);
    expect(fast.cost_usd).toBe(priority.cost_usd);
  });
});

/** The last event of a stream as its clients read it; null: none has data. */
function lastEvent(text: string): { event: string | null; data: Record<string, unknown> } | null {
  const blocks = text.split(/\r?\n\r?\n/).filter((block) => /^data:/m.test(block));
  const last = blocks.at(-1);
  if (last === undefined || last.includes('[DONE]')) return null;
  const data = [...last.matchAll(/^data: ?(.*)$/gm)].map(([, line]) => line).join('\n');
  const event = [...last.matchAll(/^event: ?(.*)$/gm)].at(-1)?.[1] ?? null;
  return { event, data: JSON.parse(data) };
}

function expectStreamOf(answer: Answer, text: string): void {
  if (!answer.error_event) {
    expect(text).not.toContain('upstream_interrupted');
    return;
  }
  const code = answer.row === 'over-limit' ? 'upstream_over_limit' : 'upstream_interrupted';
  const error = { code, type: 'api_error', param: null, message: expect.any(String) };
  const last = lastEvent(text)!;
  if (answer.operation !== 'responses') {
    expect(last).toEqual({ event: null, data: { error } });
    return;
  }
  const { type: _, ...fields } = error;
  const sequence_number = answer.sequence_number ?? expect.any(Number);
  expect(last).toEqual({ event: 'error', data: { type: 'error', ...fields, sequence_number, error } });
}
