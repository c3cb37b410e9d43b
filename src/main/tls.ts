/**
 * TLS by the settings. Owns: reading the certificate and its key, and again when a file changes or on SIGHUP. Invariant: what is
 * served is always a pair that fits; a pair with a fault changes nothing.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Config } from '../config.ts';
import { type Job, startJob } from '../jobs/every.ts';
import type { Log } from '../telemetry/log.ts';
import { CannotStart } from './open.ts';

/** How often the files are looked at. */
const LOOK_EVERY_MS = 1_000;

/** A certificate that ends this soon is worth a warning. */
const SOON_MS = 14 * 86_400_000;

/** What TLS needs of the two files, as PEM. */
export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

interface Paths {
  readonly cert: string;
  readonly key: string;
}

/** The pair that is served. */
export class TlsFiles {
  readonly #paths: Paths;
  readonly #log: Log;
  #pair: TlsPair;
  #seen: string;
  #server: Server | null = null;
  #looking: Job | null = null;
  readonly #onHangUp = () => this.#readAgain();

  private constructor(paths: Paths, log: Log, pair: TlsPair, seen: string) {
    this.#paths = paths;
    this.#log = log;
    this.#pair = pair;
    this.#seen = seen;
  }

  /** @throws CannotStart when a file cannot be read, or the two are no pair */
  static open(paths: Paths, log: Log): TlsFiles {
    const seen = stampOf(paths);
    const read = readPair(paths);
    if (typeof read === 'string') throw new CannotStart(read);
    const files = new TlsFiles(paths, log, read, seen);
    files.#warn();
    return files;
  }

  get pair(): TlsPair {
    return this.#pair;
  }

  /** New connections get what the files have from now on; those that are open stay as they are. */
  attach(server: Server): void {
    this.#server = server;
    process.on('SIGHUP', this.#onHangUp);
    this.#looking = startJob({ intervalMs: LOOK_EVERY_MS, run: () => this.#look() });
  }

  async close(): Promise<void> {
    process.off('SIGHUP', this.#onHangUp);
    await this.#looking?.stop();
  }

  #look(): void {
    const seen = stampOf(this.#paths);
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#readAgain();
  }

  #readAgain(): void {
    const read = readPair(this.#paths);
    if (typeof read === 'string') {
      // One file may have been replaced and the other not yet: both are looked at again when that one changes.
      this.#log.logger.error(
        { problem: read },
        'the certificate is not taken over: the one before is served',
      );
      return;
    }
    if (read.cert.equals(this.#pair.cert) && read.key.equals(this.#pair.key)) return;
    this.#pair = read;
    this.#server?.setSecureContext(read);
    this.#log.logger.info(
      { valid_to: new X509Certificate(read.cert).validTo },
      'the certificate was read again',
    );
    this.#warn();
  }

  #warn(): void {
    const { validTo, validToDate } = new X509Certificate(this.#pair.cert);
    if (validToDate.getTime() - Date.now() < SOON_MS)
      this.#log.logger.warn({ valid_to: validTo }, 'the certificate ends soon, or has ended');
  }
}

/** Returns null where TLS is not set. @throws CannotStart on a file that is not what it should be */
export function openTls({ tlsCert, tlsKey }: Config, log: Log): TlsFiles | null {
  return tlsCert === null || tlsKey === null ? null : TlsFiles.open({ cert: tlsCert, key: tlsKey }, log);
}

/** Returns the pair, or in words what is wrong with it; never what stands in the key. */
/** Says what is wrong with the files of the settings; null: nothing, or none are named. */
export function tlsProblem({ tlsCert, tlsKey }: Config): string | null {
  const read = tlsCert === null || tlsKey === null ? null : readPair({ cert: tlsCert, key: tlsKey });
  return typeof read === 'string' ? read : null;
}

function readPair(paths: Paths): TlsPair | string {
  let cert: Buffer;
  let key: Buffer;
  try {
    cert = readFileSync(paths.cert);
  } catch (error) {
    return `TOLLGATE_TLS_CERT ${paths.cert} cannot be read (${codeOf(error)})`;
  }
  try {
    key = readFileSync(paths.key);
  } catch (error) {
    return `TOLLGATE_TLS_KEY ${paths.key} cannot be read (${codeOf(error)})`;
  }
  try {
    createSecureContext({ cert });
    new X509Certificate(cert);
  } catch (error) {
    return `TOLLGATE_TLS_CERT ${paths.cert} has no certificate in PEM (${codeOf(error)})`;
  }
  try {
    createSecureContext({ key });
  } catch (error) {
    return `TOLLGATE_TLS_KEY ${paths.key} has no private key in PEM that opens without a passphrase (${codeOf(error)})`;
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    return `TOLLGATE_TLS_KEY ${paths.key} is not the key of the certificate in ${paths.cert} (${codeOf(error)})`;
  }
  return { cert, key };
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

/** Changes whenever one of the files may have changed. */
function stampOf({ cert, key }: Paths): string {
  return [cert, key].map(stampOfFile).join(' | ');
}

function stampOfFile(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return '';
  }
}
