/** What the neighbours' processes agree on: who does what how often. */

/** The upstream takes so long over each JSON answer. */
export const ANSWER_MS = 50;

/** What the hostile team does, so often a second. In all as many requests as the honest eleventh makes. */
export const HOSTILE_RATES = {
  /** A valid call of 19 MB. */
  hugeBody: 1,
  /** 19 MB of small values, or of names that are all different, in turns. */
  manyValues: 1,
  /** Says 19 MB, sends one, and then nothing. */
  unfinishedUpload: 5,
  /** Asks for a stream and takes no byte of it. */
  deafStream: 10,
  /** A random key: a text of a new key's form, of an old one's, or none, in turns. */
  wrongKey: 100,
  /** A call that costs nothing, in turns with a made-up model's name. */
  freeCall: 50,
} as const;

export type HostileAct = keyof typeof HOSTILE_RATES;

/** Requests a second. */
export const HOSTILE_TOTAL = Object.values(HOSTILE_RATES).reduce((sum, rate) => sum + rate, 0);

/** Streams and uploads that the hostile team keeps open at most. */
export const DEAF_STREAMS_MAX = 300;
export const UPLOADS_MAX = 150;

/** Calls a second of each honest team. */
export const HONEST_RATE = 5;
export const HONEST_TEAMS = 10;

/** A small call, as all honest teams make it. */
export const SMALL_CALL = JSON.stringify({
  model: 'gpt-4o-mini',
  max_completion_tokens: 100,
  messages: [{ role: 'user', content: 'Say hello.' }],
});

/** What the hostile process is sent. */
export interface HostileCommand {
  port: number;
  key: string;
  seconds: number;
  /** It is the honest eleventh: small calls, as many. */
  honest: boolean;
}

/** What it sends back: requests by act and status; `open`: no response while it lasted. */
export type HostileReport = Record<string, Record<string, number>>;
