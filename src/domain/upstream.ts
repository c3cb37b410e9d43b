/** What is set about an upstream, in the words of the configuration and of admins. */

/** `openai`: it keeps OpenAI's rules. `compatible`: it speaks the API, and what else holds of it is found out. */
export const PROFILES = ['openai', 'compatible'] as const;
export type ProfileName = (typeof PROFILES)[number];

/** Under which name a chat's output limit is sent to a `compatible` upstream; `both`: whichever it reads. */
export const LIMIT_FIELDS = ['both', 'max_completion_tokens', 'max_tokens'] as const;
export type LimitFields = (typeof LIMIT_FIELDS)[number];

/** Published tokenisers by which the text of a `compatible` upstream can be counted. */
export const ENCODINGS = ['o200k_base', 'o200k_harmony', 'cl100k_base', 'p50k_base', 'r50k_base'] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** How an input is counted where its bytes would hold too much: by published encodings here, by the upstream, both, or not. */
export const INPUT_COUNTING = ['encoding', 'upstream', 'both', 'off'] as const;

/**
 * What becomes of a call whose client has left. `finish`: the response is read to its end, so that the call is charged
 * what it costs. `cancel`: the upstream is stopped, so that the cost is not known exactly: the call is `unknown`.
 */
export const CLIENT_GONE = ['finish', 'cancel'] as const;
export type ClientGone = (typeof CLIENT_GONE)[number];

/** Whether new calls go to one of several upstreams; `down`: its last calls failed. */
export const HEALTH_STATES = ['up', 'down'] as const;
export type HealthState = (typeof HEALTH_STATES)[number];
