/** Faults in an instance: its leases in memory, its holds, and what it does about changed rules. */
import { LeaseTable } from '../../../src/admission/leases.ts';
import type { Account } from '../../../src/domain/budget.ts';
import { departmentsOf } from '../../../src/domain/ids.ts';
import { Lease } from '../../../src/domain/lease.ts';
import { Journal } from '../../../src/ledger/journal.ts';
import { Ledger } from '../../../src/ledger/ledger.ts';
import { type Fault, replacing } from './fault.ts';

export const LEDGER_FAULTS: Fault[] = [
  replacing('forward-before-journal', 'a call is forwarded before its hold was written', (planted) => {
    planted.replace(
      Ledger.prototype,
      'begin',
      (begin) =>
        function (this: Ledger, ...args) {
          planted.fired++;
          const [hold, facts, done] = args;
          begin.call(this, hold, facts, () => {});
          done(true);
        },
    );
  }),
  replacing('parent-forgotten', 'of the departments of a call only the lowest one binds it', (planted) => {
    const known = new WeakMap<Account, Account>();
    const withoutParents = (account: Account): Account => {
      const own = departmentsOf(account.departments)[0];
      const limits = account.limits.filter(
        ({ subject }) => subject.type !== 'department' || subject.id === own,
      );
      const found = known.get(account) ?? { ...account, limits };
      known.set(account, found);
      if (limits.length < account.limits.length) planted.fired++;
      return found;
    };
    planted.replace(
      LeaseTable.prototype,
      'poolsOf',
      (poolsOf) =>
        function (this: LeaseTable, account, ...args) {
          return poolsOf.call(this, withoutParents(account), ...args);
        },
    );
  }),
  replacing('tag-forgotten', 'a call is held against no limit of its tags', (planted) => {
    planted.replace(
      LeaseTable.prototype,
      'poolsOf',
      (poolsOf) =>
        function (this: LeaseTable, account, kind, ...args) {
          if (kind.tags) planted.fired++;
          return poolsOf.call(this, account, { ...kind, tags: null }, ...args);
        },
    );
  }),
  replacing('hold-ended-twice', 'a call that ends gives its money back twice', (planted) => {
    let ended = 0;
    planted.replace(
      LeaseTable.prototype,
      'settle',
      (settle) =>
        function (this: LeaseTable, ...args) {
          const settled = settle.apply(this, args);
          if (++ended % 50 !== 0 || settled.length === 0) return settled;
          planted.fired++;
          const [{ pools, amounts }] = args;
          pools[0]!.leases[0]!.free += amounts[0]!;
          return settled;
        },
    );
  }),
  replacing('answer-counted-twice', 'an instance adds a lease that it has added before', (planted) => {
    let leases = 0;
    planted.replace(
      Lease.prototype,
      'learn',
      (learn) =>
        function (this: Lease, ...args) {
          const before = this.granted;
          learn.apply(this, args);
          if (this.granted === before || ++leases % 30 !== 0) return;
          planted.fired++;
          this.free += this.granted - before;
        },
    );
  }),
  replacing('return-lost', 'a return is taken for reported before Postgres has it', (planted) => {
    planted.replace(
      Lease.prototype,
      'report',
      (report) =>
        function (this: Lease) {
          const returned = report.call(this);
          if (returned && returned.returned > 0n && this.free === 0n && this.held === 0n) {
            planted.fired++;
            this.reported(returned);
            return null;
          }
          return returned;
        },
    );
  }),
  replacing('window-mixed-up', 'an instance goes on with the windows of a moment before', (planted) => {
    planted.replace(
      LeaseTable.prototype,
      'poolsOf',
      (poolsOf) =>
        function (this: LeaseTable, account, kind, atMs) {
          const late = poolsOf.call(this, account, kind, atMs - 2_000);
          const isOver = ({ spec }: Lease) => spec.endsAtMs !== null && spec.endsAtMs <= atMs;
          if (late.pools.some(({ leases }) => leases.some(isOver))) planted.fired++;
          return late;
        },
    );
  }),
  replacing('stale-rule', 'an instance does nothing about rules that changed', (planted) => {
    planted.replace(Ledger.prototype, 'revoke', () => () => {
      planted.fired++;
    });
  }),
  replacing('overrun-dropped', 'a cost above its hold is booked at the hold', (planted) => {
    planted.replace(
      Ledger.prototype,
      'end',
      (end) =>
        function (this: Ledger, hold, outcome) {
          const over = outcome.cost > hold.amount;
          if (over) planted.fired++;
          end.call(this, hold, over ? { ...outcome, cost: hold.amount } : outcome);
        },
    );
  }),
  replacing('unknown-freed', 'an outcome that nobody knows costs nothing', (planted) => {
    planted.replace(
      Ledger.prototype,
      'end',
      (end) =>
        function (this: Ledger, hold, outcome) {
          const freed = outcome.outcome === 'unknown';
          if (freed) planted.fired++;
          end.call(this, hold, freed ? { ...outcome, cost: 0n } : outcome);
        },
    );
  }),
  replacing(
    'one-pool-is-enough',
    'a call takes what it finds where a second budget lacks its money',
    (planted) => {
      planted.replace(
        LeaseTable.prototype,
        'poolsOf',
        (poolsOf) =>
          function (this: LeaseTable, ...args) {
            const all = poolsOf.apply(this, args);
            const [first, ...others] = all.pools;
            if (!first || first.usable === 0n || !others.some(({ usable }) => usable === 0n)) return all;
            planted.fired++;
            return { ...all, pools: [first] };
          },
      );
    },
  ),
  replacing('queue-leak', 'who leaves the queue leaves his money behind', (planted) => {
    planted.replace(Ledger.prototype, 'cancel', () => () => {
      planted.fired++;
    });
  }),
  replacing(
    'spends-while-fenced',
    'an instance admits calls though it was fenced or Postgres is silent for minutes',
    (planted) => {
      planted.replaceGetter(
        Ledger.prototype,
        'blocked',
        (blocked) =>
          function (this: Ledger) {
            const why = blocked.call(this);
            if (why !== 'fenced' && why !== 'postgres') return why;
            planted.fired++;
            return null;
          },
      );
    },
  ),
  replacing('denies-what-is-held', 'a call is refused for good when the money is only held', (planted) => {
    planted.replaceGetter(
      Lease.prototype,
      'ceiling',
      (ceiling) =>
        function (this: Lease) {
          const room = this.room;
          if (room < ceiling.call(this)) planted.fired++;
          return room;
        },
    );
  }),
  replacing(
    'holds-lost-in-compaction',
    'a journal that is rewritten forgets the calls in flight',
    (planted) => {
      planted.replace(
        Journal.prototype,
        'compact',
        (compact) =>
          function (this: Journal, lines) {
            const kept = [...lines];
            const ended = kept.filter((line) => line[9] !== 'H');
            planted.fired += kept.length - ended.length;
            compact.call(this, ended);
          },
      );
    },
  ),
];
