/** Audio for realtime sessions: 24 kHz PCM of 16 bits, in base64. */

const SAMPLES_PER_MS = 24;

/** A loud tone. */
export function speech(ms: number): string {
  const bytes = Buffer.alloc(ms * SAMPLES_PER_MS * 2);
  for (let at = 0; at < bytes.length; at += 2) bytes.writeInt16LE(Math.round(9000 * Math.sin(at / 9)), at);
  return bytes.toString('base64');
}

export function silence(ms: number): string {
  return Buffer.alloc(ms * SAMPLES_PER_MS * 2).toString('base64');
}
