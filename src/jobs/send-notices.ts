/**
 * The job `send-notices`: sends notices by mail and webhooks. Owns: how each kind of recipient is reached, when a failed
 * attempt is repeated, and when it is given up. Does not own: the claim (store/notices.ts). Invariant: a notice is sent at
 * least once, always with the same id (of mails, the Message-ID).
 */
import type { Transporter } from 'nodemailer';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { factsBody, messageOf, type NoticeMessage, slackBody, teamsBody } from '../domain/notice-message.ts';
import type { Database } from '../store/database.ts';
import { claimNotices, type DueNotice, endNotice } from '../store/notices.ts';
import type { DeliveryOutcome } from '../telemetry/measurement.ts';
import { RETRIES_AFTER_MS } from './deliver.ts';
import { type DeliveryProblem, mailProblem } from './mail-problem.ts';
import { createWebhook } from './webhook.ts';

export interface SendOptions {
  database: Database;
  /** `smtp://` or `smtps://`, with user and password; null: mails are not sent. */
  smtpUrl: string | null;
  /** The sender of mails. */
  mailFrom: string | null;
  /** Where the console is, for links; null: without. */
  consoleUrl: string | null;
  allowPrivate: boolean;
  /** Postgres's clock. */
  nowMs: () => number;
  onEnd: (outcome: DeliveryOutcome, notice: DueNotice, problem: string | null) => void;
  retriesAfterMs?: readonly number[] | undefined;
}

const BATCH = 8;
/** Longer than all of a batch take when each of them times out. */
const CLAIM_MS = 120_000;
const TIMEOUT_MS = 10_000;

/** Sends the notices that are due. */
export async function sendNotices(options: SendOptions, signal: AbortSignal): Promise<void> {
  let mail: Transporter | null = null;
  try {
    for (;;) {
      const due = await claimNotices(options.database, { limit: BATCH, forMs: CLAIM_MS });
      if (
        options.smtpUrl !== null &&
        mail === null &&
        due.some(({ recipient }) => recipient.kind === 'email')
      )
        mail = await openMail(options.smtpUrl);
      await Promise.all(due.map((notice) => attempt(options, mail, notice, signal)));
      if (due.length < BATCH || signal.aborted) return;
    }
  } finally {
    mail?.close();
  }
}

/** Loaded when it is first used: most installations send no mail. */
async function openMail(url: string): Promise<Transporter> {
  const { createTransport } = await import('nodemailer');
  const timeouts = { connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS };
  return createTransport({ url, ...timeouts, disableFileAccess: true, disableUrlAccess: true });
}

async function attempt(
  options: SendOptions,
  mail: Transporter | null,
  notice: DueNotice,
  signal: AbortSignal,
): Promise<void> {
  const { database, consoleUrl, nowMs, onEnd, retriesAfterMs = RETRIES_AFTER_MS } = options;
  const { recipient, facts, attempts } = notice;
  const message = messageOf(facts, recipient.language, consoleUrl);
  const problem =
    recipient.kind === 'email'
      ? await sendMail(options, mail, notice, message)
      : await sendWebhook(options, notice, message, signal);
  if (problem === null) {
    await endNotice(database, notice, { problem: null, againAt: null });
    onEnd('delivered', notice, null);
    return;
  }
  const afterMs = signal.aborted ? 0 : problem.isFinal ? undefined : retriesAfterMs[attempts - 1];
  const againAt = afterMs === undefined ? null : new Date(nowMs() + afterMs);
  await endNotice(database, notice, { problem: problem.text, againAt });
  onEnd(againAt === null ? 'given_up' : 'failed', notice, problem.text);
}

async function sendMail(
  { mailFrom, nowMs }: SendOptions,
  mail: Transporter | null,
  { id, recipient, kind }: DueNotice,
  { subject, lines, html, why }: NoticeMessage,
): Promise<DeliveryProblem | null> {
  if (mail === null || mailFrom === null)
    return { text: 'no mail server is set (TOLLGATE_SMTP_URL, TOLLGATE_MAIL_FROM)', isFinal: false };
  try {
    await mail.sendMail({
      from: mailFrom,
      to: { name: '', address: recipient.address },
      subject: subject.replace(/\s+/g, ' '),
      text: [subject, '', ...lines, '', why].join('\n'),
      html,
      date: new Date(nowMs()),
      messageId: `<${id}@tollgate>`,
      headers: { 'auto-submitted': 'auto-generated', 'x-tollgate-notice': kind },
    });
    return null;
  } catch (error) {
    return mailProblem(error);
  }
}

async function sendWebhook(
  { allowPrivate, nowMs }: SendOptions,
  { id, teamId, raisedAt, recipient, facts }: DueNotice,
  message: NoticeMessage,
  signal: AbortSignal,
): Promise<DeliveryProblem | null> {
  const { kind, address: url, secret } = recipient;
  const about = { id, raisedAt, teamId: teamId === ORGANIZATION_ID ? null : teamId };
  const body =
    kind === 'slack'
      ? slackBody(message)
      : kind === 'teams'
        ? teamsBody(message)
        : factsBody(about, facts, message);
  const webhook = createWebhook({ url, secret, allowPrivate });
  try {
    const problem = await webhook.send({ id, body }, nowMs(), signal);
    return problem === null ? null : { text: problem, isFinal: false };
  } finally {
    await webhook.close();
  }
}
