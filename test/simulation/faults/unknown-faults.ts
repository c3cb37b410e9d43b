/** Faults in what becomes of calls of unknown outcome: how many go beside them, and what evidence of their cost moves. */
import { ApiError } from '../../../src/domain/errors.ts';
import { Breaker } from '../../../src/gateway/breaker.ts';
import { MemoryReleases } from '../memory-releases.ts';
import { MemoryStore } from '../memory-store.ts';
import { hasCaps } from '../world.ts';
import { type Fault, replacing } from './fault.ts';

export const UNKNOWN_FAULTS: Fault[] = [
  replacing(
    'beside-unknown-money',
    'calls go side by side whatever money is of unknown outcome',
    (planted) => {
      planted.replace(
        Breaker.prototype,
        'enter',
        (enter) =>
          function (this: Breaker, account, ...rest) {
            const pass = enter.call(this, account, ...rest);
            if (!(pass instanceof ApiError)) return pass;
            planted.fired++;
            return { teamId: account.principal.teamId, probes: [], isAlone: false, content: '' };
          },
      );
    },
    hasCaps,
  ),
  replacing(
    'evidence-not-heard',
    'an instance goes on counting calls whose cost is known by now',
    (planted) => {
      planted.replace(
        Breaker.prototype,
        'forgetBefore',
        () =>
          function (this: Breaker) {
            if (this.watched > 0) planted.fired++;
          },
      );
    },
    hasCaps,
  ),
  replacing(
    'forgotten-before-flush',
    'an instance forgets calls of unknown outcome before Postgres has their events',
    (planted) => {
      planted.replace(
        Breaker.prototype,
        'recordedBefore',
        (recordedBefore) =>
          function (this: Breaker) {
            return recordedBefore.call(this, Number.POSITIVE_INFINITY);
          },
      );
      planted.replace(
        Breaker.prototype,
        'forgetBefore',
        (forgetBefore) =>
          function (this: Breaker, untilMs) {
            forgetBefore.call(this, untilMs);
            if (this.recordedBefore(Number.POSITIVE_INFINITY).size > 0) planted.fired++;
            forgetBefore.call(this, Number.POSITIVE_INFINITY);
          },
      );
    },
    hasCaps,
  ),
  replacing(
    'released-early',
    'a policy releases calls of unknown outcome that have just begun',
    (planted) => {
      planted.replace(
        MemoryStore.prototype,
        'releaseBefore',
        (releaseBefore) =>
          function (this: MemoryStore, untilMs) {
            const due = releaseBefore.call(this, untilMs);
            const early = releaseBefore.call(this, Number.POSITIVE_INFINITY);
            planted.fired += early.length;
            return [...due, ...early];
          },
      );
    },
  ),
  replacing('released-over-evidence', 'a policy charges nothing for calls whose cost is known', (planted) => {
    planted.replace(
      MemoryStore.prototype,
      'releaseBefore',
      (releaseBefore) =>
        function (this: MemoryStore, untilMs) {
          for (const [id, cost] of this.releases.costs) {
            if (cost === 0n || !this.events.has(id)) continue;
            planted.fired++;
            this.release(id, 0n);
          }
          return releaseBefore.call(this, untilMs);
        },
    );
  }),
  replacing('corrected-twice', 'evidence of what a call cost moves its counters twice', (planted) => {
    planted.replace(
      MemoryStore.prototype,
      'release',
      (release) =>
        function (this: MemoryStore, eventId, cost) {
          planted.fired++;
          release.call(this, eventId, cost);
          release.call(this, eventId, cost);
        },
    );
  }),
  replacing('corrected-on-paper', 'evidence of what a call cost moves nothing', (planted) => {
    planted.replace(
      MemoryReleases.prototype,
      'change',
      () =>
        function (this: MemoryReleases, _spec, event) {
          if (this.costs.has(event.id)) planted.fired++;
          return 0n;
        },
    );
  }),
];
