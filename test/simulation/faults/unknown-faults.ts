/** Faults in what becomes of calls of unknown outcome: how many go beside them, and what evidence of their cost moves. */
import { ApiError } from '../../../src/domain/errors.ts';
import { Breaker } from '../../../src/gateway/breaker.ts';
import { MemoryReleases } from '../memory-releases.ts';
import { MemoryStore } from '../memory-store.ts';
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
  ),
  replacing(
    'evidence-not-heard',
    'an instance goes on counting calls whose cost is known by now',
    (planted) => {
      planted.replace(
        Breaker.prototype,
        'changed',
        () =>
          function (this: Breaker) {
            if (this.watched > 0) planted.fired++;
          },
      );
    },
  ),
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
