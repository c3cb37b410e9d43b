/** A month as a finance department has it, from budgets by department to what is charged on (docs/FINANCE.md). */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { notify } from '../../src/jobs/notify.ts';
import { sendNotices } from '../../src/jobs/send-notices.ts';
import { openDatabase } from '../../src/store/database.ts';
import { noonZone } from '../support/noon.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const mails: string[] = [];
const smtp = new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS', 'AUTH'],
  logger: false,
  onData(stream, _, done) {
    const pieces: Buffer[] = [];
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => {
      mails.push(plain(Buffer.concat(pieces).toString()));
      done();
    });
  },
});

/** A mail whose lines are whole: where quoted-printable breaks them (RFC 2045, 6.7) depends on the date in it. */
function plain(mail: string): string {
  return mail.replaceAll('=\r\n', '').replaceAll('=3D', '=');
}

let stack: Stack;
beforeAll(async () => {
  smtp.listen(0, '127.0.0.1');
  await once(smtp.server, 'listening');
  const { port } = smtp.server.address() as AddressInfo;
  stack = await startStack({
    env: {
      TOLLGATE_SMTP_URL: `smtp://127.0.0.1:${port}`,
      TOLLGATE_MAIL_FROM: 'tollgate@example.com',
    },
  });
});
afterAll(async () => {
  await stack.stop();
  await new Promise<void>((resolve) => smtp.close(() => resolve()));
});

/** None of these months ends while its budget is spent. */
const month = { type: 'calendar', unit: 'month', time_zone: noonZone() } as const;

interface Made {
  id: string;
}

/** Calls until one is denied; returns how many went through, and the denial. */
async function callUntilDenied(key: string): Promise<{ calls: number; message: string }> {
  for (let calls = 0; calls < 100; calls++) {
    const response = await stack.post(
      key,
      '/chat/completions',
      { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] },
      { 'x-simulator': 'output=100' },
    );
    const body = (await response.json()) as { error?: { message: string } };
    if (response.status !== 200) return { calls, message: body.error?.message ?? '' };
  }
  throw new Error('nothing was denied');
}

it('a month of a department: budgets, a raise that ends, mail, a correction, and what is charged on', async () => {
  // The first day: a tree, and budgets at two levels of it.
  const science = await stack.admin<Made>('POST', '/departments', { name: 'Science' });
  const physics = await stack.admin<Made>('POST', '/departments', { name: 'Physics', parent_id: science.id });
  const { teamId, key } = await stack.team({ unlimited: true });
  await stack.admin('PATCH', `/teams/${teamId}`, { department_id: physics.id });
  const limitOf = (id: string, name: string, amount: string) =>
    stack.admin<Made>('POST', '/limits', {
      ...{ name, subject: { type: 'department', id }, meter: 'cost_usd', amount, window: month },
    });
  await limitOf(science.id, 'Science, a month', '0.01');
  const limit = await limitOf(physics.id, 'Physics, a month', '0.0005');
  await stack.admin('POST', '/recipients', {
    ...{
      subject: { type: 'org' },
      kind: 'email',
      address: 'finance@example.com',
      wants: ['warning', 'monthly'],
    },
  });

  const first = await callUntilDenied(key);
  expect(first.calls).toBeGreaterThan(3);
  expect(first.message).toContain('Physics, a month');

  // A raise that ends by itself.
  const until = Date.now() + 10_000;
  await stack.admin('POST', `/limits/${limit.id}/raises`, {
    ...{ amount: '0.0003', until: new Date(until).toISOString(), reason: 'the conference' },
  });
  await expect.poll(async () => (await callUntilDenied(key)).calls, { timeout: 30_000 }).toBeGreaterThan(1);
  await delay(Math.max(0, until - Date.now()));
  const after = await stack.admin<{ data: { id: string; amount: string; state: { remaining: string } }[] }>(
    'GET',
    '/limits?state=true',
  );
  expect(after.data.find(({ id }) => id === limit.id)).toMatchObject({ amount: '0.0005' });
  await expect.poll(async () => (await callUntilDenied(key)).calls, { timeout: 30_000 }).toBe(0);

  // Whoever answers for the money was told.
  await expect
    .poll(() => mails.join('\n'), { timeout: 30_000 })
    .toMatch(/Subject: Department Physics has used 80 % /);

  // A call that broke off is charged its hold, until evidence says what it cost.
  await stack.admin('PATCH', `/limits/${limit.id}`, { amount: '0.005' });
  await expect
    .poll(
      async () => {
        const { status } = await stack.post(
          key,
          '/chat/completions',
          { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] },
          { 'x-simulator': 'fault=cut_before_headers' },
        );
        return status;
      },
      { timeout: 30_000 },
    )
    .toBe(502);
  const unknown = await stack.admin<{ data: { id: string; cost_usd: string }[] }>('GET', '/unknown');
  const [lost] = unknown.data;
  const line = stack.simulator.invoice().lines.find((each) => each.client_request_id === lost?.id);
  const costUsd = line === undefined ? '0' : formatUsd(BigInt(line.cost_pico_usd));
  await stack.admin('POST', `/unknown/${lost?.id}/release`, { reason: 'the bill', cost_usd: costUsd });

  // The last day: every way to charge it on has the same sum, which is the bill.
  await stack.settled();
  const billed = BigInt(stack.simulator.invoice().total_pico_usd);
  const to = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  const from = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
  const usage = await stack.admin<{ data: { department_name: string; cost_usd: string }[] }>(
    'GET',
    `/usage?group_by=department&interval=total`,
  );
  expect(usage.data.map(({ department_name, cost_usd }) => [department_name, usd(cost_usd)])).toEqual([
    ['Physics', billed],
  ]);
  const text = async (path: string) => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` };
    return (await fetch(`${stack.app.url}/admin/v1${path}`, { headers })).text();
  };
  expect(sumOf(await text(`/focus.csv?from=${from}&to=${to}`), 'BilledCost')).toBe(billed);
  // One month of UTC, or two where it ended meanwhile.
  const { data: months } = await stack.admin<{ data: MonthOfUsage[] }>('GET', '/usage?interval=month');
  const statements = await Promise.all(
    months.map(({ starts_at: at }) => text(`/teams/${teamId}/statement?month=${at.slice(0, 7)}&format=csv`)),
  );
  expect(statements.map((csv) => sumOf(csv, 'cost_usd'))).toEqual(months.map((each) => usd(each.cost_usd)));
  expect(statements.reduce((sum, csv) => sum + sumOf(csv, 'cost_usd'), 0n)).toBe(billed);
  // The correction is a line of its own on both.
  expect(await text(`/focus.csv?from=${from}&to=${to}`)).toContain('Adjustment');
  expect(statements.join('\n')).toContain('correction');

  for (const each of months) await expectDigest(each);
}, 120_000);

interface MonthOfUsage {
  starts_at: string;
  cost_usd: string;
}

/** The first morning of the next month: the digest. */
async function expectDigest({ starts_at: startsAt, cost_usd: cost }: MonthOfUsage): Promise<void> {
  const ofMonth = startsAt.slice(0, 7);
  const [year, monthIndex] = ofMonth.split('-').map(Number) as [number, number];
  const facts = await sendDigest(Date.UTC(year, monthIndex, 1, 7, 30));
  const about = { kind: 'monthly', team: null, from: `${ofMonth}-01T00:00:00.000Z` };
  expect(facts).toMatchObject({ ...about, cost: formatUsd(usd(cost)) });
  const said = `in the month from ${ofMonth}-01 to `;
  await expect.poll(() => mails.join('\n'), { timeout: 30_000 }).toContain(said);
  const digest = mails.find((mail) => mail.includes(said)) ?? '';
  expect(digest).toContain('To: finance@example.com');
  // Its chart is a table with bars.
  expect(digest).toMatch(/<td width="\d+" height="12" bgcolor/);
}

/** Runs the jobs that tell of money on the clock of another moment. Returns what the digest of the month is made of. */
async function sendDigest(nowMs: number) {
  const settings = { 'tollgate.now': new Date(nowMs).toISOString() };
  const database = openDatabase(stack.connection, { settings });
  try {
    let raised: Awaited<ReturnType<typeof notify>> = null;
    // Null while the gateway's own job looks.
    const look = async () => {
      raised = await notify({ database, spikeTimes: 1_000_000 });
      return raised;
    };
    await expect.poll(look, { timeout: 30_000 }).not.toBe(null);
    const { port } = smtp.server.address() as AddressInfo;
    const options = {
      ...{ smtpUrl: `smtp://127.0.0.1:${port}`, mailFrom: 'tollgate@example.com', consoleUrl: null },
      ...{ allowPrivate: true, nowMs: () => nowMs, onEnd: () => {} },
    };
    await sendNotices({ database, ...options }, new AbortController().signal);
    return (raised ?? []).map(({ facts }) => facts).find(({ kind }) => kind === 'monthly');
  } finally {
    await database.close();
  }
}

/** The sum of a column of amounts. */
function sumOf(csv: string, column: string): bigint {
  const [head = '', ...rows] = csv.trim().split('\r\n');
  const at = head.split(',').indexOf(column);
  return rows.reduce((sum, row) => sum + usd(row.split(',')[at] ?? ''), 0n);
}
