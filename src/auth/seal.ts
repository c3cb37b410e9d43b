/**
 * Sealing: what must not be read from the database alone is encrypted under a key that is not in it. Owns: the format of sealed
 * bytes (AES-256-GCM: a version, a nonce that is drawn for each, the tag, the ciphertext). Invariant: what was sealed about one
 * thing opens about no other, so that in the database no row can be put in the place of another.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;
const KEY_BYTES = 32;

/** Returns the key of 32 bytes that a text has in hex or base64; null: it has none. */
export function sealingKey(text: string): Buffer | null {
  const given = text.trim();
  if (/^[0-9a-f]{64}$/i.test(given)) return Buffer.from(given, 'hex');
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(given)) return null;
  const key = Buffer.from(given, 'base64');
  return key.length === KEY_BYTES ? key : null;
}

export class Sealer {
  readonly #key: Buffer;

  /** @param key of 32 bytes */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Returns the sealed bytes. @param about what it is sealed about, such as the key of its row */
  seal(plain: Buffer, about: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(about));
    const parts = [cipher.update(plain), cipher.final()];
    return Buffer.concat([Buffer.from([VERSION]), nonce, cipher.getAuthTag(), ...parts]);
  }

  /** Returns what was sealed; null: under another key, about something else, or it was changed. */
  open(sealed: Buffer, about: string): Buffer | null {
    if (sealed.length < HEAD_BYTES || sealed[0] !== VERSION) return null;
    const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
    const decipher = createDecipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(sealed.subarray(1 + NONCE_BYTES, HEAD_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES)), decipher.final()]);
    } catch {
      return null;
    }
  }
}
