import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { notify } from '../../src/jobs/notify.ts';
import { type SendOptions, sendNotices } from '../../src/jobs/send-notices.ts';
import { warn } from '../../src/jobs/warn.ts';
import {
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from '../admin/support.ts';

/** A Monday, after seven. */
const NOW = '2026-11-30T10:00:00.000Z';
const nowMs = Date.parse(NOW);
const HOUR = 3_600_000;
const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;

/** A mail server: what it took, by recipient. It refuses those whose address says so. */
const mails: { to: string; mail: Email }[] = [];
let deferred = 0;
const smtp = new SMTPServer({
  authOptional: false,
  allowInsecureAuth: true,
  disabledCommands: ['STARTTLS'],
  logger: false,
  onAuth: ({ username, password }, _, done) =>
    password === 'p@ss word' ? done(null, { user: username }) : done(new Error('wrong')),
  onRcptTo({ address }, _, done) {
    if (address.startsWith('nobody'))
      return done(Object.assign(new Error('no such mailbox'), { responseCode: 550 }));
    if (address.startsWith('later') && deferred++ === 0)
      return done(Object.assign(new Error('try later'), { responseCode: 451 }));
    done();
  },
  onData(stream, { envelope }, done) {
    const pieces: Buffer[] = [];
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', async () => {
      const mail = await PostalMime.parse(Buffer.concat(pieces));
      for (const { address } of envelope.rcptTo) mails.push({ to: address, mail });
      done();
    });
  },
});

/** Webhooks by path, with what signs them. */
const posts: { path: string; headers: Record<string, unknown>; body: string }[] = [];
const hooks = createServer(async (request, response) => {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  posts.push({ path: request.url!, headers: request.headers, body: Buffer.concat(pieces).toString() });
  response.end('ok');
});

let admin: TestAdmin;
let team: Json;
let options: SendOptions;
const ends: string[] = [];

beforeAll(async () => {
  smtp.listen(0, '127.0.0.1');
  hooks.listen(0, '127.0.0.1');
  await Promise.all([once(smtp.server, 'listening'), once(hooks, 'listening')]);
  const port = (smtp.server.address() as AddressInfo).port;
  const origin = `http://127.0.0.1:${(hooks.address() as AddressInfo).port}`;
  admin = await createTestAdmin(NOW);
  const { database } = admin;
  options = {
    ...{ database, allowPrivate: true, nowMs: () => nowMs, retriesAfterMs: [0, 0] },
    smtpUrl: `smtp://me:${encodeURIComponent('p@ss word')}@127.0.0.1:${port}`,
    mailFrom: 'Tollgate <tollgate@example.com>',
    consoleUrl: 'https://tollgate.example.com/console',
    onEnd: (outcome, { recipient }, problem) => ends.push(`${outcome} ${recipient.address} ${problem}`),
  };
  team = await admin.make('/teams', { name: 'R&D <b>', plan: null });
  const key = await admin.make('/keys', { team_id: team.id, name: '北京 app' });
  const window = { type: 'calendar', unit: 'month', time_zone: 'UTC' };
  const limit = await admin.make('/limits', {
    ...{
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount: '85',
      window,
      enforcement: 'strict',
    },
  });
  const subject = { type: 'team', id: team.id };
  for (const made of [
    { subject, kind: 'email', address: 'lead@example.com' },
    { subject, kind: 'email', address: 'zh@example.com', language: 'zh', wants: ['weekly'] },
    { subject, kind: 'email', address: 'nobody@example.com', wants: ['spike'] },
    { subject, kind: 'email', address: 'later@example.com', wants: ['spike'] },
    { subject, kind: 'slack', address: `${origin}/slack`, wants: ['projection'] },
    { subject, kind: 'teams', address: `${origin}/teams`, wants: ['spike'] },
    { subject, kind: 'webhook', address: `${origin}/hook`, secret: SECRET, wants: ['warning', 'weekly'] },
    {
      subject: { type: 'org' },
      kind: 'email',
      address: 'finance@example.com',
      wants: ['monthly', 'warning', 'weekly'],
    },
  ])
    await admin.make('/recipients', made);

  const instance = await createTestInstance(database);
  const own = { teamId: team.id, keyId: key.id };
  const counter = {
    ...counterOf('limit', limit, team.id, Date.UTC(2026, 10, 1), Date.UTC(2026, 11, 1)),
    amount: 0n,
  };
  const call = (atMs: number, costUsd: string, model = 'gpt-4o-mini') =>
    instance.call({
      ...own,
      atMs,
      costUsd,
      model,
      pools: [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]],
    });
  // Ten cents an hour for a week; then a dear hour, by which 80 % of the limit are spent.
  for (let hour = 7 * 24; hour > 1; hour -= 12) await call(nowMs - hour * HOUR, '1.20');
  await call(Date.parse('2026-11-12T00:00:00Z'), '30');
  for (const costUsd of ['25.5', '5', '5.000000000001']) await call(nowMs - HOUR / 2, costUsd, 'gpt-5-pro');
}, 120_000);

afterAll(async () => {
  await new Promise<void>((resolve) => smtp.close(() => resolve()));
  hooks.close();
  await admin.close();
});

const send = () => sendNotices(options, new AbortController().signal);

test('each topic is raised once for each recipient that wants it, by whichever replica', async () => {
  const { database } = admin;
  await warn(database, { thresholds: [50, 80, 100], deliver: false });
  const runs = await Promise.all([1, 2, 3].map(() => notify({ database, spikeTimes: 5 })));
  runs.push(await notify({ database, spikeTimes: 5 }));
  const raised = runs.flatMap((run) => run ?? []);
  const kinds = raised.map(({ kind }) => kind).sort();
  // Warnings of 50 and 80 %: the lead, the webhook, finance. Weekly: the lead, zh, the webhook, finance.
  expect(kinds).toEqual([
    ...['projection', 'projection', 'spike', 'spike', 'spike', 'spike'],
    ...['warning', 'warning', 'warning', 'warning', 'warning', 'warning'],
    ...['weekly', 'weekly', 'weekly', 'weekly'],
  ]);
});

const SPIKE = 'Team R&D <b> spent $35.50 within an hour, 355 times the usual';
const DIGEST = 'spent $16.80 in the week from 2026-11-23 to 2026-11-29';
const used = (percent: number) => `Team R&D <b> has used ${percent} % of its limit: $82.30 of $85.00`;
const mailsTo = (address: string) => mails.filter((each) => each.to === address).map(({ mail }) => mail);
const subjectsTo = (address: string) =>
  mailsTo(address)
    .map(({ subject }) => subject)
    .sort();

test('mails and webhooks arrive once each, and what is refused for good is given up', async () => {
  // Several replicas send at once.
  await Promise.all([send(), send(), send()]);
  await send();
  await notify({ database: admin.database, spikeTimes: 5 });
  await send();
  expect(subjectsTo('lead@example.com')).toEqual(
    [
      used(50),
      used(80),
      SPIKE,
      `Team R&D <b> ${DIGEST}`,
      'Team R&D <b> will have run out of money on 2026-11-30, if it goes on like this',
    ].sort(),
  );
  expect(subjectsTo('finance@example.com')).toEqual(
    [used(50), used(80), `The whole installation ${DIGEST}`].sort(),
  );
  expect(subjectsTo('zh@example.com')).toEqual(['团队 R&D <b>：上周（2026-11-23 至 2026-11-29）花费 $16.80']);
  // Its mailbox was busy the first time.
  expect(subjectsTo('later@example.com')).toEqual([SPIKE]);
  expect(ends).toContain('failed later@example.com the mail server replied 451');
  expect(ends.filter((end) => end.includes('nobody'))).toEqual([
    'given_up nobody@example.com the mail server replied 550',
  ]);
  expect(posts.map(({ path }) => path).sort()).toEqual(['/hook', '/hook', '/hook', '/slack', '/teams']);
});

test('a mail has a text and a page that mail clients show: bars of cells, names as text, nothing from elsewhere', () => {
  const digest = mailsTo('lead@example.com').find(({ subject }) => subject?.endsWith(DIGEST))!;
  expect(digest.messageId).toMatch(/^<[0-9a-f-]{36}@tollgate>$/);
  expect(digest.from).toMatchObject({ name: 'Tollgate', address: 'tollgate@example.com' });
  expect(digest.headers.find(({ key }) => key === 'auto-submitted')?.value).toBe('auto-generated');
  expect(digest.text).toContain('Before: $0.00 (–).');
  expect(digest.text).toContain('  2026-11-23  $2.40');
  expect(digest.text).toContain('  北京 app  $16.80');
  expect(digest.text).toContain('https://tollgate.example.com/console');
  expect(digest.text).not.toContain('By team');
  expect(digest.text?.trimEnd()).toMatch(/\n\nYou get this as a recipient of notices\..*$/);
  const whole = mailsTo('finance@example.com').find(({ subject }) => subject?.endsWith(DIGEST))!;
  expect(whole.text).toContain('By team:\n  R&D <b>  $16.80\n');
  expect(whole.text).toContain('  北京 app (R&D <b>)  $16.80');
  const html = digest.html!;
  expect(html).toContain('R&amp;D &lt;b&gt;');
  expect(html).toContain('<a href="https://tollgate.example.com/console"');
  // Seven days, a model and a key, each as dear as the dearest of its chart.
  expect(html.match(/<td width="220" height="12" bgcolor/g)).toHaveLength(9);
  expect(html).not.toMatch(/<b>|<img|<svg|<script|<link|<style|url\(|src=/);
  const spike = mailsTo('lead@example.com').find(({ subject }) => subject === SPIKE)!;
  expect(spike.text).toMatch(
    /An hour usually costs \$0.10.[\s\S]*gpt-5-pro, 北京 app, [0-9a-f-]{36} {2}\$25.50/,
  );
});

test('webhooks have the shape of their receiver; a generic one is signed and has the facts', () => {
  const bodies = (path: string) =>
    posts.filter((post) => post.path === path).map(({ body }) => JSON.parse(body));
  expect(bodies('/slack')[0].text).toMatch(
    /^\*Team R&amp;D &lt;b&gt; will have run out of money on 2026-11-30/,
  );
  const [{ contentType, content }] = bodies('/teams')[0].attachments;
  expect(contentType).toBe('application/vnd.microsoft.card.adaptive');
  expect(content.body[0]).toMatchObject({ type: 'TextBlock', text: expect.stringContaining('R&D \\<b\\>') });
  expect(bodies('/hook').map(({ type }) => type)).toEqual([
    'notice.warning',
    'notice.warning',
    'notice.weekly',
  ]);
  // Two that were raised at the same moment are sent in any order.
  expect(bodies('/hook').find(({ threshold }) => threshold === 80)).toMatchObject({
    team_id: team.id,
    team_name: 'R&D <b>',
    threshold: 80,
    settled: '82.300000000001',
    amount: '85.00',
    ends_at: '2026-12-01T00:00:00.000Z',
  });
  const { headers, body } = posts.find(({ path }) => path === '/hook')!;
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
  expect(headers['webhook-signature']).toBe(
    `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
  );
});

test('the API lists what was sent, and shows of a webhook its server alone', async () => {
  const { data } = await admin.get(`/notices?team_id=${team.id}`);
  expect(data).toHaveLength(15);
  const given = data.find(({ address }) => address === 'nobody@example.com');
  expect(given).toMatchObject({
    delivery: 'given_up',
    attempts: 1,
    problem: 'the mail server replied 550',
    text: SPIKE,
  });
  const late = data.find(({ address }) => address === 'later@example.com');
  expect(late).toMatchObject({ delivery: 'delivered', attempts: 2, problem: null });
  const all = await admin.get('/notices');
  expect(all.data).toHaveLength(16);
  expect(all.data.filter((each) => each.team_id === null)).toMatchObject([{ kind: 'weekly' }]);
  const recipients = await admin.get(`/recipients?team_id=${team.id}`);
  const hook = recipients.data.find(({ kind }) => kind === 'webhook')!;
  expect(hook).toMatchObject({
    signed: true,
    address: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/…$/),
  });
  const text = JSON.stringify([recipients, all, await admin.get('/audit?resource=recipient')]);
  expect(text).toContain('127.0.0.1');
  expect(text).not.toMatch(/whsec_|\/hook|\/slack/);
});

test('a recipient is changed and deleted; what was raised for it by then is not sent', async () => {
  const { data } = await admin.get(`/recipients?team_id=${team.id}`);
  const { id } = data.find(({ kind }) => kind === 'slack')!;
  const changed = await admin.ask('PATCH', `/recipients/${id}`, { wants: ['spike'], language: 'zh' });
  expect(changed.body).toMatchObject({ wants: ['spike'], language: 'zh' });
  const { id: other } = data.find(({ kind }) => kind === 'teams')!;
  await admin.ask('PATCH', `/recipients/${other}`, { wants: ['projection'] });
  const raised = await notify({ database: admin.database, spikeTimes: 5 });
  expect(raised?.map(({ kind, recipientId }) => `${kind} ${recipientId}`).sort()).toEqual(
    [`spike ${id}`, `projection ${other}`].sort(),
  );
  await admin.ask('PATCH', `/recipients/${other}`, { wants: ['spike'] });
  expect((await admin.ask('DELETE', `/recipients/${id}`)).status).toBe(200);
  const before = posts.length;
  await send();
  expect(posts.length).toBe(before);
  const { data: sent } = await admin.get(`/notices?team_id=${team.id}`);
  const unsent = sent.find(({ recipient_id, kind }) => recipient_id === id && kind === 'spike');
  expect(unsent).toMatchObject({ delivery: 'given_up', problem: 'the recipient was deleted' });
  const unwanted = sent.find(({ recipient_id, kind }) => recipient_id === other && kind === 'projection');
  expect(unwanted).toMatchObject({
    delivery: 'given_up',
    problem: 'the recipient does not want such notices any more',
  });
});

test.each([
  [{ kind: 'email', address: 'nobody' }, 'address'],
  [{ kind: 'slack', address: 'ftp://example.com' }, 'address'],
  [{ kind: 'webhook', address: 'https://me:secret@example.com' }, 'address'],
  [{ kind: 'email', address: 'a@example.com', secret: SECRET }, 'secret'],
  [{ kind: 'webhook', address: 'https://example.com', secret: 'whsec_short' }, 'secret'],
  [{ kind: 'email', address: 'a@example.com', wants: [] }, 'wants'],
  [{ kind: 'email', address: 'a@example.com', wants: ['news'] }, 'wants[0]'],
  [{ kind: 'pager', address: 'a@example.com' }, 'kind'],
  [{ kind: 'email', address: 'a@example.com', subject: { type: 'key', id: 'x' } }, 'subject'],
])('a recipient %j is refused, with the field that is wrong', async (made, param) => {
  const body = { subject: { type: 'team', id: team.id }, ...made };
  const { status, body: answer } = await admin.ask('POST', '/recipients', body);
  expect([status, (answer.error as { param: string }).param]).toEqual([400, expect.stringContaining(param)]);
});

test('a team has at most 50 recipients at once, however many are made in one moment', async () => {
  const { id } = await admin.make('/teams', { name: 'crowd', plan: null });
  const body = { subject: { type: 'team', id }, kind: 'email', address: 'lead@example.com' };
  const make = () => admin.ask('POST', '/recipients', body);
  const made = await Promise.all(Array.from({ length: 53 }, make));
  expect(made.filter(({ status }) => status === 201)).toHaveLength(50);
  expect(made.find(({ status }) => status !== 201)).toMatchObject({
    status: 400,
    body: {
      error: { code: 'invalid_request', param: 'subject', message: expect.stringContaining('delete one') },
    },
  });
  const one = made.find(({ status }) => status === 201)!;
  await admin.ask('DELETE', `/recipients/${String(one.body.id)}`);
  expect((await make()).status).toBe(201);
});

test('a month is told of on its first morning, beside the month before', async () => {
  const later = await createTestAdmin('2026-12-01T07:00:00.000Z');
  const { id: teamId } = await later.make('/teams', { name: 'sales', plan: null });
  const { id: keyId } = await later.make('/keys', { team_id: teamId, name: 'app' });
  const instance = await createTestInstance(later.database);
  for (const [day, costUsd] of [
    ['2026-10-31', '2'],
    ['2026-11-01', '3'],
    ['2026-11-30', '4'],
    ['2026-12-01', '9'],
  ] as const)
    await instance.call({ teamId, keyId, costUsd, atMs: Date.parse(`${day}T00:00:00Z`) });
  await later.make('/recipients', {
    subject: { type: 'team', id: teamId },
    kind: 'email',
    address: 'a@example.com',
  });
  const raised = (await notify({ database: later.database, spikeTimes: 5 })) ?? [];
  expect(raised.map(({ kind }) => kind).sort()).toEqual(['monthly', 'weekly']);
  const monthly = raised.find(({ kind }) => kind === 'monthly');
  expect(monthly?.facts).toMatchObject({
    cost: '7.00',
    before: '2.00',
    calls: 2,
    from: '2026-11-01T00:00:00.000Z',
  });
  const { days } = monthly!.facts as { days: { day: string; cost: string }[] };
  expect([days.length, days[0], days[29]]).toEqual([
    30,
    { day: '2026-11-01', cost: '3.00' },
    { day: '2026-11-30', cost: '4.00' },
  ]);
  await later.close();
});
