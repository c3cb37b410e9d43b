/**
 * Directives: a request may order its own fate in the header `x-simulator: key=value,key=value`, so that one test can
 * meet one fault without touching the profile of a shared simulator.
 */

import { type ApiError, invalidRequest } from './errors.ts';
import { drawFault, type Fault, type FaultName, isFaultName, makeFault } from './faults.ts';
import type { Tier } from './prices.ts';
import { type Mode, type Profile, USAGE_REPORTS, type UsageReports } from './profile.ts';
import type { Random } from './random.ts';

export interface Directives {
  mode?: Mode;
  /** Output tokens of every choice; the request's limit still cuts it, unless `ignoreLimit`. */
  outputTokens?: number;
  ignoreLimit?: boolean;
  hiddenReasoningTokens?: number;
  usageReports?: UsageReports;
  chunkTokens?: number;
  stopsWithClient?: boolean;
  /** Events with text per choice. */
  chunks?: number;
  chunkMs?: number;
  /** An event with text is written when the client has said that it has those before (`POST /taken`). */
  awaitsClient?: boolean;
  firstByteMs?: number;
  /** How many tools the model calls at the begin of a turn, whatever its prompt says. */
  toolCalls?: number;
  /** The tier to serve and bill, whatever the request asked for. */
  tier?: Tier;
  /** What a tool used that made images is not said. */
  hidesImageUsage?: boolean;
  /** `none` shields the request from the profile's faults. */
  fault?: FaultName | 'none';
  /** Whether a fault that may be billed is. Default true. */
  billed?: boolean;
}

type Setter = (directives: Directives, value: string) => boolean;

function integer(set: (directives: Directives, value: number) => void, max: number): Setter {
  return (directives, text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) > max) return false;
    set(directives, Number(text));
    return true;
  };
}

function oneOf<Value extends string>(
  values: readonly Value[],
  set: (directives: Directives, value: Value) => void,
): Setter {
  return (directives, text) => {
    const value = values.find((one) => one === text);
    if (value === undefined) return false;
    set(directives, value);
    return true;
  };
}

const BOOLEAN = ['true', 'false'] as const;

const SETTERS: Record<string, Setter> = {
  mode: oneOf(['normal', 'worst'], (directives, value) => {
    directives.mode = value;
  }),
  output: integer((directives, value) => {
    directives.outputTokens = value;
  }, 100_000_000),
  ignore_limit: oneOf(BOOLEAN, (directives, value) => {
    directives.ignoreLimit = value === 'true';
  }),
  hidden_reasoning: integer((directives, value) => {
    directives.hiddenReasoningTokens = value;
  }, 100_000_000),
  usage: oneOf(USAGE_REPORTS, (directives, value) => {
    directives.usageReports = value;
  }),
  chunk_tokens: integer((directives, value) => {
    directives.chunkTokens = value;
  }, 100_000),
  stops_with_client: oneOf(BOOLEAN, (directives, value) => {
    directives.stopsWithClient = value === 'true';
  }),
  chunks: integer((directives, value) => {
    directives.chunks = value;
  }, 100_000),
  chunk_ms: integer((directives, value) => {
    directives.chunkMs = value;
  }, 600_000),
  awaits_client: oneOf(BOOLEAN, (directives, value) => {
    directives.awaitsClient = value === 'true';
  }),
  first_byte_ms: integer((directives, value) => {
    directives.firstByteMs = value;
  }, 600_000),
  tool_calls: integer((directives, value) => {
    directives.toolCalls = value;
  }, 100),
  tier: oneOf(['default', 'flex', 'priority'], (directives, value) => {
    directives.tier = value;
  }),
  image_usage: oneOf(['none'], (directives) => {
    directives.hidesImageUsage = true;
  }),
  fault: (directives, text) => {
    if (text !== 'none' && !isFaultName(text)) return false;
    directives.fault = text;
    return true;
  },
  billed: oneOf(BOOLEAN, (directives, value) => {
    directives.billed = value === 'true';
  }),
};

const NO_DIRECTIVES: Directives = Object.freeze({});

/** Returns the directives of the header. An unknown one is an error: a test that misspells it must not pass. */
export function readDirectives(header: string | string[] | undefined): Directives | ApiError {
  if (header === undefined) return NO_DIRECTIVES;
  const directives: Directives = {};
  for (const pair of header.toString().split(',')) {
    const [key = '', value = ''] = pair.trim().split('=', 2);
    if (!Object.hasOwn(SETTERS, key) || !SETTERS[key]?.(directives, value)) {
      const known = Object.keys(SETTERS).join(', ');
      return invalidRequest(
        `Unknown directive '${pair.trim()}' in x-simulator. Known: ${known}.`,
        'x-simulator',
      );
    }
  }
  return directives;
}

/** The fault of a request: what it orders, else what is drawn. */
export function chooseFault(directives: Directives, profile: Profile, random: Random): Fault | null {
  if (directives.fault === 'none') return null;
  if (directives.fault) return makeFault(directives.fault, directives.billed ?? true);
  return drawFault(profile, random);
}
