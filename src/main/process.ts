/** What every process of the gateway has, alone, as a worker or as the supervisor: its log, its greeting, its signals, its end. */
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { CannotStart } from './open.ts';
import type { App } from './start.ts';

/** How long what should have ended may still keep the process: a database that hangs, a handle that was forgotten. */
export const LINGER_MS = 2000;

/** @param fields what every line says besides */
export function openLog(config: Config, fields: Record<string, unknown> | null = null): Log {
  return createLog({
    level: config.logLevel,
    logCalls: config.logCalls,
    fields,
    secrets: [
      config.openaiApiKey,
      config.openaiAdminKey,
      config.upstreamWebhookSecret,
      config.adminKey,
      config.metricsKey,
      config.databaseUrl,
      config.readDatabaseUrl,
      config.webhookUrl,
      config.webhookSecret,
      config.otlpHeaders,
      config.oidcClientSecret,
      config.smtpUrl,
      config.encryptionKey,
      ...(config.secretsKey ?? []),
    ],
  });
}

interface Greeting {
  url: string;
  adminKey: string;
  /** The admin key was made at this start: it is shown, once. */
  adminKeyMade: boolean;
}

/** Says where the gateway listens and how to get in. */
export function greet({ url, adminKey, adminKeyMade }: Greeting, config: Config, log: Log): void {
  const upstream = config.configFile ?? (config.openaiApiKey === null ? null : config.openaiBaseUrl);
  log.logger.info({ url, upstream }, 'listening');
  const lines = [`Tollgate listens on ${url}`];
  const keyPath = join(config.dataDir, 'admin-key');
  if (adminKeyMade) lines.push(`Admin key, shown this once (kept in ${keyPath}): ${adminKey}`);
  else if (config.adminKey === null) lines.push(`The admin key is in ${keyPath}`);
  if (config.openaiApiKey === null && config.configFile === null) {
    lines.push('OPENAI_API_KEY is not set: /v1 answers 503 upstream_not_configured.');
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

/**
 * What comes this soon is the same request: npm passes a terminal's Ctrl-C on to a process that has it already, and the
 * launcher sends a SIGTERM up to half a second after npm's shell has died of it.
 */
const SAME_REQUEST_MS = 1000;

export interface StopSignals {
  /** Resolves at the first request. */
  asked: Promise<string>;
  /** Aborted by the second request. */
  hurry: AbortSignal;
  /** Asks for an orderly stop, as a signal does. */
  ask(reason: string): void;
  /** Asks for the end of all waiting. */
  hurryUp(reason: string): void;
}

/** Listens from now on; without this a signal would end the process on the spot. */
export function stopSignals(): StopSignals {
  const hurry = new AbortController();
  const { promise: asked, resolve: ask } = Promise.withResolvers<string>();
  let askedAtMs: number | null = null;
  const hurryUp = (reason: string) => {
    ask(reason);
    hurry.abort(new Error(reason));
  };
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now();
    askedAtMs ??= now;
    ask(signal);
    if (now - askedAtMs > SAME_REQUEST_MS) hurryUp(`a second ${signal} came`);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  return { asked, hurry: hurry.signal, ask, hurryUp };
}

/** Rejects when the start is not worth waiting for any more: what it left is in order for the next one, as after a crash. */
export function stopBeforeStart(hurry: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    hurry.addEventListener('abort', () => reject(new CannotStart('stopped before the start was complete')));
  });
}

/** Waits until the instance must stop, and stops it. Returns the exit code. */
export async function runUntilStopped(app: App, signals: StopSignals, log: Log): Promise<number> {
  const { logger } = log;
  const reason = await Promise.race([signals.asked, app.fenced]);
  if (reason)
    logger.info({ signal: reason }, 'stopping: calls in flight may finish, a second signal ends them');
  else logger.fatal('another instance adopted this one: it may admit nothing more');
  // Until it is proven: a process with nothing left to do ends by itself, also in the middle of this.
  process.exitCode = 1;
  signals.hurry.addEventListener('abort', () => setTimeout(() => process.exit(), LINGER_MS).unref());
  try {
    await app.stop(signals.hurry);
    logger.info('stopped');
    return 0;
  } catch (error) {
    logger.error(
      { err: error },
      'stopped, but the ledger has not everything: the journal stays for the next start',
    );
    return 1;
  } finally {
    await log.flush();
  }
}
