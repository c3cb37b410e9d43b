/** Faults in how the journals of dead instances are read. */
import { readFileSync } from 'node:fs';
import { eventFromJson } from '../../../src/ledger/read-journal.ts';
import type { FlushEvent } from '../../../src/store/hot/flush.ts';
import type { MemoryStore } from '../memory-store.ts';
import { type Fault, Healthy, type Planted } from './fault.ts';

/** What changes of the events that a journal gives, before they come into the ledger. */
type Rewrite = (events: FlushEvent[], path: string, store: MemoryStore) => FlushEvent[];

function inAdoption(name: string, what: string, rewrite: Rewrite): Fault {
  const plant = (): Planted => {
    const planted = new Healthy();
    planted.adopter = (store, path) => ({
      silentMs: (id) => store.silentMs(id),
      fence: (id) => store.fence(id),
      notEnded: (ids) => store.notEnded(ids),
      putBackJob: () => store.putBackJob(),
      putBack: (batch) => store.putBack(batch),
      noteGap: (gap) => store.noteGap(gap),
      adopt: (id, events, ...rest) => {
        const changed = rewrite(events, path, store);
        if (changed !== events) planted.fired++;
        return store.adopt(id, changed, ...rest);
      },
    });
    return planted;
  };
  return { name, what, plant };
}

/** The end of a call that was being written when its process died, as if all of it were there. */
function tornEvent(path: string): FlushEvent | null {
  const tail = readFileSync(path, 'utf8').split('\n').at(-1)!;
  const known = /^\w{8} S (\{"id":"[^"]+","team_id":"[^"]+","created_at":"[^"]+","key_id":"[^"]+")/.exec(
    tail,
  );
  if (!known) return null;
  return eventFromJson(
    `${known[1]},"outcome":"settled","model":"","end_user":null,"input_tokens":0,"output_tokens":0,"hold_usd":"0","cost_usd":"0","allocations":[]}`,
  );
}

export const ADOPTION_FAULTS: Fault[] = [
  inAdoption(
    'torn-tail-whole',
    'the last line of a journal is read though it was cut short',
    (events, path) => {
      const torn = tornEvent(path);
      return torn ? [torn, ...events.filter(({ id }) => id !== torn.id)] : events;
    },
  ),
  inAdoption('crash-outcome-freed', 'calls in flight at a crash are adopted at no cost', (events) => {
    const inFlight = events.filter(({ json, claim }) => json.includes('"reason":"crash"') && claim.cost > 0n);
    if (inFlight.length === 0) return events;
    const free = (event: FlushEvent) => ({
      ...event,
      claim: { ...event.claim, cost: 0n },
      allocations: event.allocations.map((part) => ({ ...part, settled: 0n })),
    });
    return events.map((event) => (inFlight.includes(event) ? free(event) : event));
  }),
];
