/**
 * Planted faults: each breaks the protocol in one small way, from the outside, so that the proof can show that it would
 * notice. A fault that never fired proves nothing, so every firing is counted.
 */
import type { RecoveryStore } from '../../../src/ledger/recovery.ts';
import { MemoryStore } from '../memory-store.ts';

/** Makes what the instances of a run stand on. The healthy one is `NO_FAULT`. */
export interface Planted {
  /** How often the fault did something other than the healthy code. */
  fired: number;
  /** The store of the run. */
  store(nowMs: () => number): MemoryStore;
  /** What reads the journal at this path into the ledger. */
  adopter(store: MemoryStore, path: string): RecoveryStore;
  /** Puts everything back. */
  remove(): void;
}

export interface Fault {
  name: string;
  /** What is done wrong, as a sentence. */
  what: string;
  /** Whether it can fire in a seed at all; missing: in every one. Others are not tried. */
  canFire?: (seed: number) => boolean;
  plant(): Planted;
}

/** A run in good health; a fault overrides what it breaks. */
export class Healthy implements Planted {
  fired = 0;
  #undo: (() => void)[] = [];

  store(nowMs: () => number): MemoryStore {
    return new MemoryStore(nowMs);
  }

  adopter(store: MemoryStore, _path: string): RecoveryStore {
    return store;
  }

  remove(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Replaces a public method of Tollgate until the fault is removed. */
  replace<Target extends object, Name extends keyof Target>(
    target: Target,
    name: Name,
    make: (original: Target[Name]) => Target[Name],
  ): void {
    const descriptor = Object.getOwnPropertyDescriptor(target, name)!;
    const original = target[name];
    this.#undo.push(() => Object.defineProperty(target, name, descriptor));
    Object.defineProperty(target, name, { ...descriptor, value: make(original) });
  }

  /** Replaces a public getter. */
  replaceGetter<Target extends object, Name extends keyof Target>(
    target: Target,
    name: Name,
    make: (original: () => Target[Name]) => (this: Target) => Target[Name],
  ): void {
    const descriptor = Object.getOwnPropertyDescriptor(target, name)!;
    this.#undo.push(() => Object.defineProperty(target, name, descriptor));
    Object.defineProperty(target, name, { ...descriptor, get: make(descriptor.get as () => Target[Name]) });
  }
}

/** Returns a fault that replaces methods and getters. */
export function replacing(
  name: string,
  what: string,
  plant: (planted: Healthy) => void,
  canFire = (_seed: number) => true,
): Fault {
  return {
    name,
    what,
    canFire,
    plant: (): Planted => {
      const planted = new Healthy();
      plant(planted);
      return planted;
    },
  };
}
