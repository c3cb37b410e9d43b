/**
 * Secrets that stand encrypted in Postgres. Owns: the master keys, and which of them a secret was encrypted with. Does not own:
 * how it is (seal.ts), nor the rows (store/secrets.ts). Invariants: what was encrypted under one name opens under no other; no error
 * repeats a value.
 */
import { createHash } from 'node:crypto';
import { Sealer, sealingKey } from './seal.ts';

/** A secret as it stands in Postgres. */
export interface Sealed {
  /** In base64. */
  sealed: string;
  /** Which master key it was encrypted with: the start of its SHA-256. */
  keyId: string;
}

export class Vault {
  readonly #sealers = new Map<string, Sealer>();
  /** New secrets are encrypted with it. */
  readonly keyId: string;
  readonly #sealer: Sealer;

  /** @param keys the first encrypts, all decrypt; each is 32 bytes in hex or base64 */
  constructor(keys: readonly [string, ...string[]]) {
    const [first, ...others] = keys;
    const { id, sealer } = opened(first);
    this.keyId = id;
    this.#sealer = sealer;
    this.#sealers.set(id, sealer);
    for (const each of others.map(opened)) this.#sealers.set(each.id, each.sealer);
  }

  /** Returns the value encrypted under this name, with the first master key. */
  seal(name: string, value: string): Sealed {
    const sealed = this.#sealer.seal(Buffer.from(value), aboutOf(name));
    return { sealed: sealed.toString('base64'), keyId: this.keyId };
  }

  /** Returns the value; null: none of the master keys opens it, or it was changed. */
  open(name: string, { sealed, keyId }: Sealed): string | null {
    const plain = this.#sealers.get(keyId)?.open(Buffer.from(sealed, 'base64'), aboutOf(name)) ?? null;
    return plain === null ? null : plain.toString();
  }
}

/** What else is sealed under the same key is about other things. */
function aboutOf(name: string): string {
  return `secret ${name}`;
}

function opened(text: string): { id: string; sealer: Sealer } {
  const key = sealingKey(text);
  if (key === null) throw new RangeError('a master key has 32 bytes, in hex or base64');
  return { id: createHash('sha256').update(key).digest('hex').slice(0, 8), sealer: new Sealer(key) };
}
