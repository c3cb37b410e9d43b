/** Why a notice was not delivered, and whether another attempt can succeed; of mail, by what its server said. */
import { getSystemErrorName } from 'node:util';

export interface DeliveryProblem {
  text: string;
  isFinal: boolean;
}

/** What nodemailer rejects with: a reply of the server and the command to which it came, or an error of the connection. */
interface MailError {
  responseCode?: unknown;
  command?: unknown;
  code?: unknown;
  errno?: unknown;
  /** Of OpenSSL. */
  reason?: unknown;
  message?: unknown;
}

/**
 * Only what a server says of the mailbox (550 to 559, to RCPT TO) is for good: that it takes no mail from this sender or this
 * address, or wants another password, is mended by people while the mail waits. Names no address: who reads it may not see them.
 */
export function mailProblem(error: unknown): DeliveryProblem {
  const { responseCode, command } = error as MailError;
  if (typeof responseCode !== 'number')
    return { text: `the mail server cannot be reached (${reasonOf(error as MailError)})`, isFinal: false };
  const isMailbox = command === 'RCPT TO';
  const to =
    isMailbox || typeof command !== 'string' ? '' : ` to ${command === 'CONN' ? 'the connection' : command}`;
  return {
    text: `the mail server replied ${responseCode}${to}`,
    isFinal: isMailbox && responseCode >= 550 && responseCode < 560,
  };
}

/** nodemailer puts its own code in the place of the system's; of TLS the error has no other name than its first words. */
function reasonOf({ code, errno, reason, message }: MailError): string {
  if (typeof errno === 'number' && errno < 0) return getSystemErrorName(errno);
  if (code !== 'ESOCKET') return String(code ?? 'no connection');
  return String(reason ?? message ?? code).split(/[:;]/)[0] ?? code;
}
