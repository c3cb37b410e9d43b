/** Faults in what changes a limit for some time, or who is where: raises, resets, and teams that move. */
import { LeaseTable } from '../../../src/admission/leases.ts';
import type { Account } from '../../../src/domain/budget.ts';
import { counted, isHeldBeside } from '../../../src/domain/counter.ts';
import { departmentsOf } from '../../../src/domain/ids.ts';
import type { Limit } from '../../../src/domain/limit.ts';
import type { FlushBatch } from '../../../src/store/hot/flush.ts';
import { MemoryStore } from '../memory-store.ts';
import { type Fault, type Healthy, replacing } from './fault.ts';

export const CHANGE_FAULTS: Fault[] = [
  withAccounts('raise-never-ends', 'a raise pays as long as its limit is there', (planted, account) => {
    const limits = account.limits.map((limit) => ({
      ...limit,
      raises: limit.raises.map((raise) => ({ ...raise, untilMs: raise.untilMs + 3_600_000 })),
    }));
    planted.fired += count(account, ({ raises }) => raises.length > 0);
    return { ...account, limits };
  }),
  withAccounts('raise-for-each', 'a raise pays beside every limit of a call', (planted, account) => {
    const raises = account.limits.flatMap((limit) => limit.raises);
    planted.fired += raises.length;
    return { ...account, limits: account.limits.map((limit) => ({ ...limit, raises })) };
  }),
  withAccounts(
    'reset-not-heard',
    'an instance goes on with the window before a reset',
    (planted, account) => {
      planted.fired += count(account, ({ resetAtMs }) => resetAtMs !== null);
      return { ...account, limits: account.limits.map((limit) => ({ ...limit, resetAtMs: null })) };
    },
  ),
  replacing(
    'reset-counts-twice',
    'a call counts before and after a reset, or on a raise and its limit',
    (planted) => {
      planted.replace(
        MemoryStore.prototype,
        'flush',
        (flush) =>
          async function (this: MemoryStore, batch: FlushBatch) {
            const inserted = await flush.call(this, batch);
            for (const event of batch.events.filter(({ id }) => inserted.has(id))) {
              for (const counter of this.counters.values()) {
                const isPaidThere = event.allocations.some(({ counterId }) => counterId === counter.spec.id);
                if (isPaidThere || !isHeldBeside(counter.spec.id, event.allocations)) continue;
                const twice = counted(counter.spec, event);
                if (twice > 0n) planted.fired++;
                counter.settled += twice;
              }
            }
            return inserted;
          },
      );
    },
  ),
  replacing(
    'moved-team-stays',
    'the calls of a team that moved are held on the limits of where it was',
    (planted) => {
      const first = new Map<string, Account>();
      planted.replace(
        LeaseTable.prototype,
        'poolsOf',
        (poolsOf) =>
          function (this: LeaseTable, account, ...args) {
            const before = first.get(account.principal.keyId) ?? account;
            first.set(account.principal.keyId, before);
            if (before.departments === account.departments) return poolsOf.call(this, account, ...args);
            planted.fired++;
            const path: readonly string[] = departmentsOf(before.departments);
            const isOf = ({ subject }: Limit) => subject.type === 'department' && path.includes(subject.id);
            const others = account.limits.filter(({ subject }) => subject.type !== 'department');
            return poolsOf.call(
              this,
              { ...account, limits: [...others, ...before.limits.filter(isOf)] },
              ...args,
            );
          },
      );
    },
  ),
];

/** Returns a fault by which instances take every account for another. */
function withAccounts(
  name: string,
  what: string,
  change: (planted: Healthy, account: Account) => Account,
): Fault {
  return replacing(name, what, (planted) => {
    const known = new WeakMap<Account, Account>();
    planted.replace(
      LeaseTable.prototype,
      'poolsOf',
      (poolsOf) =>
        function (this: LeaseTable, account, ...args) {
          const changed = known.get(account) ?? change(planted, account);
          known.set(account, changed);
          return poolsOf.call(this, changed, ...args);
        },
    );
  });
}

function count({ limits }: Account, has: (limit: Limit) => boolean): number {
  return limits.filter(has).length;
}
