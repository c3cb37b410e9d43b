/**
 * How long inline audio of a conversation is at most, from its base64: WAV by its format and its bytes, MP3 frame by frame. What
 * the upstream's decoder hears must not be longer, so bytes that are no frame count as the thinnest sound there is.
 */

const PLAIN_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** Eight kbit/s, the least that a frame of MP3 has (ISO/IEC 13818-3). */
const MP3_BYTES_PER_SECOND_LEAST = 1000;

/** Returns the seconds of audio in base64; null: nothing bounds them. */
export function inlineSeconds(data: string, format: string): number | null {
  if (!PLAIN_BASE64.test(data)) return null;
  const bytes = Buffer.from(data, 'base64');
  if (format === 'mp3') return mp3Seconds(bytes);
  return format === 'wav' ? wavSeconds(bytes) : null;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const FMT_BYTES_LEAST = 16;

/** RIFF WAVE: samples without compression, of the size and rate that the chunk `fmt ` says; all bytes behind it count. */
function wavSeconds(bytes: Buffer): number | null {
  if (bytes.length < 44 || bytes.toString('latin1', 0, 4) !== 'RIFF') return null;
  if (bytes.toString('latin1', 8, 12) !== 'WAVE') return null;
  for (let at = 12, chunks = 0; at + 8 + FMT_BYTES_LEAST <= bytes.length && chunks < 64; chunks++) {
    const length = bytes.readUInt32LE(at + 4);
    if (bytes.toString('latin1', at, at + 4) === 'fmt ' && length >= FMT_BYTES_LEAST) {
      const format = bytes.readUInt16LE(at + 8);
      const bytesPerSecond = bytes.readUInt32LE(at + 12) * bytes.readUInt16LE(at + 20);
      const isPlain = format === PCM || format === FLOAT || format === EXTENSIBLE;
      return isPlain && bytesPerSecond >= 1000 ? (bytes.length - at) / bytesPerSecond : null;
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

/** Kilobits a second of layer III, by version: MPEG 1, and MPEG 2 and 2.5 (ISO/IEC 11172-3 and 13818-3). */
const KBIT = {
  one: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  two: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};
const HERTZ = [44_100, 48_000, 32_000];

function mp3Seconds(bytes: Buffer): number {
  let seconds = 0;
  let others = 0;
  for (let at = tagBytes(bytes); at < bytes.length; ) {
    const frame = frameAt(bytes, at);
    if (frame === null) {
      others++;
      at++;
    } else {
      seconds += frame.seconds;
      at += frame.bytes;
    }
  }
  return seconds + others / MP3_BYTES_PER_SECOND_LEAST;
}

/** A tag of ID3 in front, whose length has seven bits in each byte. */
function tagBytes(bytes: Buffer): number {
  if (bytes.length < 10 || bytes.toString('latin1', 0, 3) !== 'ID3') return 0;
  const digits = [bytes[6] ?? 0, bytes[7] ?? 0, bytes[8] ?? 0, bytes[9] ?? 0];
  if (digits.some((digit) => digit > 0x7f)) return 0;
  return 10 + digits.reduce((length, digit) => length * 128 + digit, 0);
}

function frameAt(bytes: Buffer, at: number): { bytes: number; seconds: number } | null {
  if (at + 4 > bytes.length) return null;
  const head = bytes.readUInt32BE(at);
  const version = (head >>> 19) & 3;
  const isLayerThree = ((head >>> 17) & 3) === 1;
  if (head >>> 21 !== 0x7ff || version === 1 || !isLayerThree) return null;
  const kbit = (version === 3 ? KBIT.one : KBIT.two)[(head >>> 12) & 15] ?? 0;
  const hertz = (HERTZ[(head >>> 10) & 3] ?? 0) / (version === 3 ? 1 : version === 2 ? 2 : 4);
  if (kbit === 0 || hertz === 0) return null;
  const samples = version === 3 ? 1152 : 576;
  const padding = (head >>> 9) & 1;
  return { bytes: Math.floor((samples * 125 * kbit) / hertz) + padding, seconds: samples / hertz };
}
