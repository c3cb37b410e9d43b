import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { mayLog } from '../../src/gateway/stages/record.ts';
import { FIELDS } from '../../src/telemetry/fields.ts';
import { createLog, type Log, type LogOptions } from '../../src/telemetry/log.ts';
import type { CallEntry } from '../../src/telemetry/measurement.ts';

const folder = mkdtempSync(join(tmpdir(), 'tollgate-log-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

function call(changes: Partial<CallEntry> = {}): CallEntry {
  return {
    eventId: '0199-event',
    operation: { name: 'chat.completions', otel: 'chat' },
    outcome: 'settled',
    team: 'research',
    keyId: 'key-1',
    requestModel: 'gpt-5-mini',
    responseModel: 'gpt-5-mini-2026-01-31',
    usage: {
      input_tokens: 100,
      cached_input_tokens: 30,
      cache_write_tokens: 0,
      output_tokens: 7,
      reasoning_tokens: 0,
    },
    costPicoUsd: 125_000n,
    holdPicoUsd: 1_000_000n,
    status: 200,
    upstreamRequestId: 'req_1',
    stageUs: { route: 12 },
    endedMs: 1_000,
    ...changes,
  };
}

/** As record does. */
function add({ calls, writeSoon }: Log, entry: CallEntry): void {
  if (mayLog(calls, entry.outcome) && calls.entries.push(entry) === 1) writeSoon();
}

/** Runs `use` on a real log and returns the lines that reached its file. */
async function written(
  use: (log: Log) => void,
  options: Partial<LogOptions> = {},
): Promise<Record<string, unknown>[]> {
  const destination = join(folder, `${files++}.log`);
  const log = createLog({ level: 'info', logCalls: true, secrets: [], destination, ...options });
  use(log);
  await log.flush();
  const lines = readFileSync(destination, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line));
}

describe('the line of a call', () => {
  it("has OpenTelemetry's names and exact money", async () => {
    const [line] = await written((log) => add(log, call()));
    expect(line).toMatchObject({
      level: 30,
      time: 1_000,
      'gen_ai.provider.name': 'openai',
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'gpt-5-mini',
      'gen_ai.response.model': 'gpt-5-mini-2026-01-31',
      'gen_ai.usage.input_tokens': 100,
      'gen_ai.usage.cache_read.input_tokens': 30,
      'gen_ai.usage.output_tokens': 7,
      'http.response.status_code': 200,
      'tollgate.event.id': '0199-event',
      'tollgate.cost_usd': '0.000000125',
      'tollgate.hold_usd': '0.000001',
    });
  });

  it('has what else was used, in units', async () => {
    const usage = { input_tokens: 9, input_audio_tokens: 7, audio_seconds: 12_500_000 };
    const [line] = await written((log) => add(log, call({ usage })));
    expect(line).toMatchObject({
      'gen_ai.usage.input_tokens': 9,
      'tollgate.usage.input_audio_tokens': 7,
      'tollgate.usage.audio_seconds': 12.5,
    });
  });

  it('is left out when calls are not logged', async () => {
    expect(await written((log) => add(log, call({ outcome: 'unknown' })), { logCalls: false })).toEqual([]);
  });

  it('comes at a bounded rate, with the number of those left out, and always when the outcome is unknown', async () => {
    const lines = await written(
      (log) => {
        for (let i = 0; i < 1_000; i++) add(log, call());
        add(log, call({ outcome: 'unknown' }));
      },
      { callsPerSecond: 10 },
    );
    expect(lines).toHaveLength(11);
    const suppressed = lines.reduce((sum, line) => sum + Number(line[FIELDS.suppressedLines] ?? 0), 0);
    expect(lines.length + suppressed).toBe(1_001);
    expect(lines.at(-1)).toMatchObject({ level: 40, [FIELDS.outcome]: 'unknown' });
  });

  it('comes by itself, and the next second has room again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const destination = join(folder, `${files++}.log`);
      const log = createLog({ level: 'info', logCalls: true, secrets: [], destination, callsPerSecond: 2 });
      for (let i = 0; i < 5; i++) add(log, call());
      vi.advanceTimersByTime(250);
      expect(log.calls).toMatchObject({ entries: [], room: 0 });
      vi.advanceTimersByTime(1_000);
      expect(log.calls?.room).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('every line', () => {
  it('is free of secrets, wherever they came in', async () => {
    const secrets = ['postgres://u:hunter22@db/x', 'quoted"secret', null, 'short'];
    const error = new Error('401 for sk-proj-abcdefgh12345 with Bearer abc.def-123');
    const lines = await written(
      ({ logger }) => {
        logger.error(
          { err: error, headers: { authorization: 'Bearer tg-abcdefgh12345' } },
          'upstream refused tg-12345678',
        );
        logger.info({ secrets: [...secrets] }, 'a short word stays');
      },
      { secrets },
    );
    expect(lines).toHaveLength(2);
    const text = JSON.stringify(lines);
    for (const leak of ['sk-proj', 'tg-', 'abc.def', 'hunter22', 'quoted']) expect(text).not.toContain(leak);
    expect(text).toContain('a short word stays');
  });

  it('may fail to be written without anyone noticing', async () => {
    const destination = join(folder, 'no', 'such', 'folder.log');
    const log = createLog({ level: 'info', logCalls: true, secrets: [], destination });
    add(log, call());
    await expect(log.flush()).resolves.toBeUndefined();
    // Once more when it is sure that the file cannot be opened.
    await expect(log.flush()).resolves.toBeUndefined();
  });
});

describe('a process without its log', () => {
  it('ends with its own exit code', async () => {
    const source = new URL('../../src/telemetry/log.ts', import.meta.url).href;
    const options = {
      level: 'info',
      logCalls: true,
      secrets: [],
      destination: join(folder, 'none', 'x.log'),
    };
    const script = `
      const { createLog } = await import(${JSON.stringify(source)});
      const log = createLog(${JSON.stringify(options)});
      log.logger.info('a line');
      await log.flush();
      console.log('did its work');
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('did its work\n');
  });
});

describe('a reader that is too slow', () => {
  it('costs lines, which are counted, and no time', async () => {
    let dropped = 0;
    const large = 'x'.repeat(1_000_000);
    await written(
      ({ logger }) => {
        for (let i = 0; i < 20; i++) logger.info(large);
      },
      { onDroppedLine: () => dropped++ },
    );
    expect(dropped).toBeGreaterThan(0);
  });
});
