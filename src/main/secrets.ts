/**
 * The secrets in Postgres, wired: the master keys of the configuration, and what of the secrets is known to this instance.
 * Invariant: values are in memory alone.
 */
import { readFileSync } from 'node:fs';
import { Vault } from '../auth/vault.ts';
import { type Reader, sealingKeyTexts } from '../config/readers.ts';
import type { Config } from '../config.ts';
import type { Database } from '../store/database.ts';
import { allSecrets, type SecretRow, secretsStamp } from '../store/secrets.ts';
import { CannotStart } from './open.ts';

/** Returns the secrets, and what opens them; null: no master key is set. @throws CannotStart when its file has none */
export function openSecrets(
  config: Config,
  database: Database,
): { vault: Vault | null; secrets: StoredSecrets } {
  const vault = openVault(config);
  return { vault, secrets: new StoredSecrets(database, vault) };
}

/** Null: no master key is set. @throws CannotStart for a file that cannot be read, or that holds none */
export function openVault({ secretsKey, secretsKeyFile }: Config): Vault | null {
  const keys = sealingKeyTexts('');
  const found = secretsKey ?? readKeyFile('TOLLGATE_SECRETS_KEY_FILE', secretsKeyFile, keys);
  const [first, ...others] = found ?? [];
  return first === undefined ? null : new Vault([first, ...others]);
}

/**
 * Returns what stands in a file that a setting names, as the setting of the keys themselves would read it; null: it names none.
 * @throws CannotStart when the file cannot be read, or holds something else
 */
export function readKeyFile<Keys>(
  setting: string,
  file: string | null,
  { read, wanted }: Reader<Keys>,
): Keys | null {
  if (file === null) return null;
  let text = '';
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch {
    // The same as an empty one: what to do is the same.
  }
  const found = read(text);
  if (found === null) throw new CannotStart(`${setting}: ${file} cannot be read, or is not ${wanted}`);
  return found;
}

/** The secrets as they were read last. */
export class StoredSecrets {
  readonly #database: Database;
  readonly #vault: Vault | null;
  #rows = new Map<string, SecretRow>();

  constructor(database: Database, vault: Vault | null) {
    this.#database = database;
    this.#vault = vault;
  }

  async load(): Promise<void> {
    this.#rows = new Map((await allSecrets(this.#database)).map((row) => [row.name, row]));
  }

  /** Returns what is another text after every change. */
  stamp(): Promise<string> {
    return secretsStamp(this.#database);
  }

  /** Returns the value of a secret. Throws with what is wrong with it, for people. */
  read(name: string): string {
    const row = this.#rows.get(name);
    if (this.#vault === null) throw new Error('needs TOLLGATE_SECRETS_KEY, which is not set');
    if (row === undefined) throw new Error('does not exist: tollgate secrets set makes it');
    const value = this.#vault.open(name, row);
    if (value === null) throw new Error('opens with no key of TOLLGATE_SECRETS_KEY');
    return value;
  }
}
