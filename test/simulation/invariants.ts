/** What is true of the books at every moment, whatever happens. */
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { MemoryStore } from './memory-store.ts';

/** @throws with what is wrong with an instance's leases */
export function checkLedger(ledger: Ledger): void {
  for (const { spec, granted, returned, settled, held, free } of ledger.leases.all()) {
    const sums = `granted ${granted}, returned ${returned}, settled ${settled}, held ${held}, free ${free}`;
    if (granted !== returned + settled + held + free) throw new Error(`${spec.id} does not add up: ${sums}`);
    if (returned < 0n || settled < 0n || held < 0n || free < 0n) throw new Error(`${spec.id}: ${sums}`);
  }
}

/** @throws with what is wrong with the counters, as long as no amount was lowered and no cost exceeded its hold */
export function checkStore(store: MemoryStore): void {
  const lent = new Map<string, bigint>();
  for (const lease of store.leases.values()) {
    const out = lease.granted - lease.returned - lease.settled;
    if (out < 0n) throw new Error(`the lease of ${lease.instanceId} on ${lease.counterId} is ${out}`);
    lent.set(lease.counterId, (lent.get(lease.counterId) ?? 0n) + out);
  }
  for (const [id, { amount, settled, held, leased }] of store.counters) {
    const sums = `settled ${settled}, held ${held}, leased ${leased} of ${amount}`;
    if (settled + held + leased > amount) throw new Error(`${id} lent more than it has: ${sums}`);
    if (leased !== (lent.get(id) ?? 0n)) throw new Error(`${id}: ${lent.get(id)} is lent, but ${sums}`);
  }
}
