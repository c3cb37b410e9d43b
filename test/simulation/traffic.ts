/** Who calls, where, and how much: for a while some are busy, and the others fall idle. */
import type { Random } from '../support/random.ts';
import { fixedAsk, openAsk } from './asks.ts';
import type { SimCalls } from './sim-call.ts';
import type { SimInstance } from './sim-instance.ts';
import { END_USERS, KEYS, MODELS, TAGS } from './world.ts';

const MAX_INSTANCES = 16;

export class Traffic {
  readonly #random: Random;
  readonly #calls: SimCalls;
  #keys: readonly string[] = KEYS.map(({ keyId }) => keyId);
  #instances = MAX_INSTANCES;
  #callsMax = 4;

  constructor(random: Random, calls: SimCalls) {
    this.#random = random;
    this.#calls = calls;
  }

  /** Somebody else is busy for a while. */
  turn(): void {
    const random = this.#random;
    const keys = KEYS.filter(() => random.chance(0.6)).map(({ keyId }) => keyId);
    this.#keys = keys.length > 0 ? keys : ['key-1'];
    this.#instances = random.between(1, MAX_INSTANCES);
    this.#callsMax = random.pick([1, 4, 8, 30]);
  }

  callAll(live: readonly SimInstance[]): void {
    const random = this.#random;
    const busy = live.slice(0, this.#instances);
    for (let count = random.between(0, this.#callsMax); count > 0; count--) {
      const instance = random.pick(busy);
      const account = instance.accounts.get(random.pick(this.#keys))!;
      const model = random.pick(MODELS);
      const endUser = random.pick(END_USERS);
      const kind = { model, endUser, tags: TAGS.get(endUser) ?? null };
      const ask = random.chance(0.25)
        ? openAsk(account, kind)
        : fixedAsk(account, random.between(1, 40), kind);
      if (!instance.frozen) this.#calls.start(instance, ask);
    }
  }
}
