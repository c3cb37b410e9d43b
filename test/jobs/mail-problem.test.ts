/** Why a mail was not taken, as a real mail server says it. */
import type { AddressInfo } from 'node:net';
import nodemailer from 'nodemailer';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { expect, it } from 'vitest';
import { mailProblem } from '../../src/jobs/mail-problem.ts';
import { CERTIFICATE, KEY } from '../wire/certificate.ts';

const refusal = (responseCode: number) => Object.assign(new Error('no, lead@example.com'), { responseCode });

/** Sends a mail to a server of these habits; returns why it was not taken. */
async function problemWith(habits: SMTPServerOptions, url = (port: number) => `smtp://127.0.0.1:${port}`) {
  const server = new SMTPServer({ authOptional: true, disabledCommands: ['STARTTLS'], ...habits });
  // A client that leaves in the middle is what is tested here.
  server.on('error', () => {});
  const { port } = await new Promise<AddressInfo>((resolve) => {
    const listening = server.listen(0, '127.0.0.1', () => resolve(listening.address() as AddressInfo));
  });
  const mail = nodemailer.createTransport(url(port));
  const mailed = mail.sendMail({ from: 'a@example.com', to: 'lead@example.com', subject: 'x', text: 'x' });
  const error = await mailed.then(
    () => null,
    (reason) => reason,
  );
  mail.close();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return error === null ? null : mailProblem(error);
}

it.each<[string, SMTPServerOptions, string, boolean]>([
  [
    'no such mailbox',
    { onRcptTo: (_a, _s, done) => done(refusal(550)) },
    'the mail server replied 550',
    true,
  ],
  [
    'a busy mailbox',
    { onRcptTo: (_a, _s, done) => done(refusal(451)) },
    'the mail server replied 451',
    false,
  ],
  [
    'a sender whom it does not take yet',
    { onMailFrom: (_a, _s, done) => done(refusal(550)) },
    'the mail server replied 550 to MAIL FROM',
    false,
  ],
  [
    'an address that it does not let in',
    { onConnect: (_s, done) => done(refusal(554)) },
    'the mail server replied 554 to the connection',
    false,
  ],
  [
    'a mail that it does not like',
    { onData: (stream, _s, done) => void stream.resume().on('end', () => done(refusal(554))) },
    'the mail server replied 554 to DATA',
    false,
  ],
])('%s', async (_, habits, text, isFinal) => {
  expect(await problemWith(habits)).toEqual({ text, isFinal });
});

it('a wrong password may be mended, and is not told', async () => {
  const habits: SMTPServerOptions = {
    allowInsecureAuth: true,
    onAuth: (_a, _s, done) => done(refusal(535)),
  };
  const problem = await problemWith(habits, (port) => `smtp://tollgate:hunter2@127.0.0.1:${port}`);
  expect(problem).toEqual({ text: 'the mail server replied 535 to AUTH PLAIN', isFinal: false });
});

it('names the fault of a connection, not whom it went to', async () => {
  const away = await problemWith({}, () => 'smtp://127.0.0.1:9');
  expect(away?.text).toBe('the mail server cannot be reached (ECONNREFUSED)');
  const untrusted = await problemWith({ cert: CERTIFICATE, key: KEY, disabledCommands: [] });
  expect(untrusted?.text).toBe('the mail server cannot be reached (self-signed certificate)');
  const plain = await problemWith({}, (port) => `smtps://127.0.0.1:${port}`);
  expect(plain?.text).toBe('the mail server cannot be reached (wrong version number)');
});
