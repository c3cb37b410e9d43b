/** `tollgate estimate` in this process: its output, its errors and its exit codes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runEstimate } from '../../src/main/estimate/run.ts';

async function run(line: string, env: Record<string, string> = {}, isTerminal = false) {
  const output = { stdout: '', stderr: '' };
  const code = await runEstimate(line === '' ? [] : line.split(' '), {
    env,
    nowMs: Date.parse('2026-11-28T12:00:00Z'),
    stdout: (text) => {
      output.stdout += text;
    },
    isTerminal,
    stderr: (text) => {
      output.stderr += text;
    },
  });
  return { code, ...output };
}

const USAGE = 'usage --calls-per-day 1000 --prompt-tokens 500 --answer-tokens 200 --date 2022-07-15';

describe('tollgate estimate', () => {
  it('prints the published reckoning of GPT-3 and the published figure beside it', async () => {
    const { stdout, code } = await run('pretrain --preset gpt-3');
    expect(code).toBe(0);
    expect(stdout.split('\n')[0]).toBe(
      '3.14e23 FLOPs at 28 TFLOPS and $1.50 an hour: 3,115,079 GPU-hours, 355.6 GPU-years, $4.67M (published: $4.6M, rounded)',
    );
    expect(stdout).toContain('lambdalabs.com/blog/demystifying-gpt-3');
  });

  it('writes JSON with exact amounts', async () => {
    const { stdout } = await run(`${USAGE} --models ada --format json`);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ kind: 'usage', date: '2022-07-15', credit_usd: '18.00' },
      models: [{ model: 'ada', cost_per_call_usd: '0.00056', cost_usd: '16.80', credit_calls: '32142' }],
    });
  });

  it('writes CSV with a header', async () => {
    const { stdout } = await run(`${USAGE} --format csv`);
    const lines = stdout.split('\r\n');
    expect(lines[0]).toBe('model,said,cost_per_call_usd,cost_usd,credit_calls,credit_days,price_id,source');
    expect(lines[1]).toMatch(/^ada,fastest,0\.00056,16\.80,32142,32\.1,/);
    expect(lines).toHaveLength(6);
  });

  it.each([
    ['', 'Usage: tollgate estimate <kind>'],
    ['--help', 'Usage: tollgate estimate <kind>'],
    ['pretrain --help', 'Usage: tollgate estimate pretrain [options]'],
    ['fine-tune --help', 'Usage: tollgate estimate fine-tune FILE [options]'],
    ['usage -h', '--calls-per-day N'],
  ])('%j explains', async (line, text) => {
    const { stdout, code } = await run(line);
    expect(code).toBe(0);
    expect(stdout).toContain(text);
    for (const each of stdout.split('\n')) expect(each.length, each).toBeLessThanOrEqual(125);
  });

  it.each([
    ['car', 2, "tollgate: estimate: there is no 'car'"],
    ['toString', 2, "there is no 'toString'"],
    ['pretrain now', 2, 'estimate pretrain: takes no arguments, found now'],
    ['pretrain --colour red', 2, "Unknown option '--colour'"],
    ['pretrain --format xml', 2, '--format must be one of text, json, csv'],
    ['usage --calls-per-day many', 2, '--calls-per-day must be a whole number'],
    ['usage --calls-per-day 3', 1, '--prompt-tokens: must be given'],
    [`${USAGE} --credit-usd much`, 1, '--credit-usd: must be a decimal amount'],
    [`${USAGE}-40`, 1, '--date: must be a date such as "2022-07-15"'],
    [`${USAGE} --models gpt-6-luna`, 1, "No price of the model 'gpt-6-luna' is known on 2022-07-15."],
    ['fine-tune --model gpt-4o-mini', 2, 'takes one FILE, found none'],
    ['fine-tune a.jsonl', 1, '--model: must be given'],
    ['fine-tune a.jsonl --model gpt-4o-mini --epochs often', 1, '--epochs: must be "auto" or a whole number'],
    [
      'fine-tune /nowhere/a.jsonl --model gpt-4o-mini',
      1,
      'cannot read /nowhere/a.jsonl: there is no such file',
    ],
    ['fine-tune / --model gpt-4o-mini', 1, 'cannot read /: '],
    ['pretrain --flops 3', 1, '--gpu: must be given'],
  ])('%s ends with %d and says what is wrong', async (line, code, text) => {
    const found = await run(line);
    expect(found.code).toBe(code);
    expect(found.stdout).toBe('');
    expect(found.stderr).toContain(text);
  });

  it('shows on a terminal how far a long file is, and takes it away in the end', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'tollgate-estimate-')), 'long.jsonl');
    writeFileSync(path, 'x'.repeat(9_000_000));
    try {
      const { stderr, stdout } = await run(`fine-tune ${path} --model davinci --epochs 1`, {}, true);
      expect(stderr).toMatch(/^\r█*░* +\d+ % {2}\d+ of 9 MB /);
      expect(stderr.endsWith('\r\u001b[2K')).toBe(true);
      expect(stdout).toContain('line 1: has 9000000 bytes');
      expect((await run(`fine-tune ${path} --model davinci --epochs 1`)).stderr).toBe('');
    } finally {
      rmSync(dirname(path), { recursive: true });
    }
  });

  it('says what to check when the database of DATABASE_URL cannot be read', async () => {
    const env = { DATABASE_URL: 'postgres://tollgate:secret@127.0.0.1:1/tollgate' };
    const failed = run(USAGE, env);
    await expect(failed).rejects.toThrow(
      /cannot read prices from the database 127\.0\.0\.1:1\/tollgate: .*Check/,
    );
    await expect(failed).rejects.not.toThrow(/secret/);
  });
});
