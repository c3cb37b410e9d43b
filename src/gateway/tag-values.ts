/**
 * Values of tags that no list names: each is asked of the store when it is new here, and once an hour. Owns: which are known on
 * this instance. Invariants: a team has no more values open than the tag's rule allows, on all instances together; what one
 * team opens takes no place of another's, and memory is bounded. While the store is away new values pass: they guard against
 * accidents, and no budget rests on their number.
 */
import { LRUCache } from 'lru-cache';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { TagRule } from '../domain/tags.ts';

export interface TagValuesOptions {
  /** Opens a value, or says that it is open. Returns whether there is room for it. */
  open(teamId: TeamId, name: string, value: string, most: number): Promise<boolean>;
  onError(error: unknown): void;
}

/** Of all teams together; what is forgotten is asked for again. */
const KNOWN_MAX = 50_000;
const KNOWN_MS = 3_600_000;
/** How long a value that was refused is refused without a look. */
const FULL_MS = 1_000;

export class TagValues {
  readonly #options: TagValuesOptions;
  readonly #known = new LRUCache<string, boolean>({ max: KNOWN_MAX, ttl: KNOWN_MS });

  constructor(options: TagValuesOptions) {
    this.#options = options;
  }

  /** Whether a team may use a value. Never rejects. */
  mayUse(teamId: TeamId, rule: TagRule, value: string): boolean | Promise<boolean> {
    const key = `${teamId} ${rule.name}=${value}`;
    return this.#known.get(key) ?? this.#ask(key, teamId, rule, value);
  }

  async #ask(key: string, teamId: TeamId, { name, valuesMax }: TagRule, value: string): Promise<boolean> {
    try {
      const isOpen = await this.#options.open(teamId, name, value, valuesMax);
      this.#known.set(key, isOpen, isOpen ? {} : { ttl: FULL_MS });
      return isOpen;
    } catch (error) {
      this.#options.onError(error);
      return true;
    }
  }
}

/** A team has as many values of a tag open as it may. */
export function tooManyTagValues({ name, valuesMax, idleDays }: TagRule): ApiError {
  const message =
    `This team has ${valuesMax} values of the tag '${name}' open, as many as it may: use one of them. A value without calls is ` +
    `closed after ${idleDays} days; an administrator can raise 'max_values' of the tag.`;
  return apiError('too_many_tag_values', message, { param: 'x-tollgate-tags' });
}
