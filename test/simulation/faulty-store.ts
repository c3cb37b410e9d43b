/** A store at the far end of a network: answers take time, and requests or answers may be lost. */
import type { LedgerStore } from '../../src/ledger/heartbeat.ts';
import type { FakeTime } from './fake-time.ts';

export interface Fate {
  /** There and back. */
  delayMs: number;
  /** What is lost on the way: the request (nothing happened) or the answer (it happened). */
  lost: 'nothing' | 'request' | 'answer';
}

class ConnectionLost extends Error {
  override name = 'ConnectionLost';
}

type Call = keyof LedgerStore;

export class FaultyStore implements LedgerStore {
  readonly #store: LedgerStore;
  readonly #time: FakeTime;
  /** Decides about each call; replace it to change the weather. */
  fate: (call: Call | 'catalog') => Fate = () => ({ delayMs: 2, lost: 'nothing' });
  /** Calls so far, by kind. */
  readonly calls: Record<Call | 'catalog', number> = {
    requestLease: 0,
    flush: 0,
    adopt: 0,
    heartbeat: 0,
    rejoin: 0,
    putBack: 0,
    noteGap: 0,
    resumeLending: 0,
    catalog: 0,
  };

  constructor(store: LedgerStore, time: FakeTime) {
    this.#store = store;
    this.#time = time;
  }

  requestLease(...args: Parameters<LedgerStore['requestLease']>) {
    return this.send('requestLease', () => this.#store.requestLease(...args));
  }

  flush(...args: Parameters<LedgerStore['flush']>) {
    return this.send('flush', () => this.#store.flush(...args));
  }

  adopt(...args: Parameters<LedgerStore['adopt']>) {
    return this.send('adopt', () => this.#store.adopt(...args));
  }

  heartbeat(...args: Parameters<LedgerStore['heartbeat']>) {
    return this.send('heartbeat', () => this.#store.heartbeat(...args));
  }

  rejoin(...args: Parameters<LedgerStore['rejoin']>) {
    return this.send('rejoin', () => this.#store.rejoin(...args));
  }

  putBack(...args: Parameters<LedgerStore['putBack']>) {
    return this.send('putBack', () => this.#store.putBack(...args));
  }

  noteGap(...args: Parameters<LedgerStore['noteGap']>) {
    return this.send('noteGap', () => this.#store.noteGap(...args));
  }

  resumeLending() {
    return this.send('resumeLending', () => this.#store.resumeLending());
  }

  /** Asks whatever stands at the far end. */
  async send<T>(call: Call | 'catalog', work: () => T | Promise<T>): Promise<T> {
    this.calls[call]++;
    const { delayMs, lost } = this.fate(call);
    await this.#time.sleep(delayMs / 2);
    if (lost === 'request') throw new ConnectionLost(call);
    const answer = await work();
    await this.#time.sleep(delayMs / 2);
    if (lost === 'answer') throw new ConnectionLost(call);
    return answer;
  }
}
