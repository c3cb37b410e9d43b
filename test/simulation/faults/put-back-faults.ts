/** Faults in what happens after the store went back: what is put back, and when money is lent again. */
import { LeaseTable } from '../../../src/admission/leases.ts';
import type { PutBackBatch } from '../../../src/store/hot/flush.ts';
import { MemoryHistory } from '../memory-history.ts';
import { MemoryStore } from '../memory-store.ts';
import { type Fault, replacing } from './fault.ts';

/** A fault in which not all of a batch gets through; `lose` returns what does. */
function losing(name: string, what: string, lose: (batch: PutBackBatch) => PutBackBatch): Fault {
  return replacing(name, what, (planted) => {
    planted.replace(
      MemoryStore.prototype,
      'putBack',
      (putBack) =>
        function (this: MemoryStore, batch) {
          const left = lose(batch);
          if (left !== batch) planted.fired++;
          return putBack.call(this, left);
        },
    );
  });
}

export const PUT_BACK_FAULTS: Fault[] = [
  replacing('lends-too-early', 'money is lent before every instance has put back', (planted) => {
    planted.replaceGetter(
      MemoryHistory.prototype,
      'awaited',
      (awaited) =>
        function (this: MemoryHistory) {
          if (awaited.call(this).length > 0) planted.fired++;
          return [];
        },
    );
  }),
  losing('events-not-put-back', 'events that were in Postgres once are not put back', (batch) =>
    batch.last === null && batch.events.length > 0 ? { ...batch, events: [] } : batch,
  ),
  losing('holds-not-put-back', 'calls in flight keep nothing when their leases end', (batch) =>
    batch.last !== null && batch.last.holds.length > 0
      ? { ...batch, last: { ...batch.last, holds: [] } }
      : batch,
  ),
  replacing(
    'leases-outlive-put-back',
    'Postgres keeps the leases of an instance that put back',
    (planted) => {
      planted.replace(
        MemoryStore.prototype,
        'putBack',
        (putBack) =>
          async function (this: MemoryStore, batch) {
            const kept = [...this.leases].filter(
              ([, { instanceId }]) => batch.last !== null && instanceId === batch.instanceId,
            );
            const inserted = await putBack.call(this, batch);
            for (const [key, lease] of kept) {
              planted.fired++;
              this.leases.set(key, lease);
              this.counters.get(lease.counterId)!.leased += lease.granted - lease.returned - lease.settled;
            }
            return inserted;
          },
      );
    },
  ),
  replacing('spends-ended-leases', 'an instance goes on with its leases after it has put back', (planted) => {
    planted.replace(
      LeaseTable.prototype,
      'reset',
      () =>
        function (this: LeaseTable) {
          if ([...this.all()].some(({ free }) => free > 0n)) planted.fired++;
        },
    );
  }),
  replacing('counters-stay-forgotten', 'counters are not made again before they are needed', (planted) => {
    planted.replace(
      MemoryStore.prototype,
      'rejoin',
      (rejoin) =>
        function (this: MemoryStore, request, counters) {
          if (counters.some(({ id }) => !this.counters.has(id))) planted.fired++;
          return rejoin.call(this, request, []);
        },
    );
  }),
  replacing('put-back-counts-again', 'what is put back counts again though it was there', (planted) => {
    planted.replace(
      MemoryStore.prototype,
      'putBack',
      (putBack) =>
        function (this: MemoryStore, batch) {
          for (const { id } of batch.events) if (this.events.delete(id)) planted.fired++;
          return putBack.call(this, batch);
        },
    );
  }),
];
