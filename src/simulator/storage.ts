/** What is in vector stores, billed by the day: $0.10 a GiB beyond the first, which is free (pricing page, 2026-09). */
import type { ApiState } from './exchange.ts';
import { type InvoiceLine, NO_USAGE } from './invoice.ts';

const GIB = 1024n ** 3n;
/** Storage is measured in millionths of a GiB-day, each of them begun. */
const MILLIONTH_PICO_USD = 100_000n;

/** Bills what the stores hold now as the storage of one day. */
export function billStorage({ stored, invoice }: ApiState): InvoiceLine {
  let bytes = 0n;
  for (const store of stored.stores.list(({ json }) => json)) bytes += BigInt(Number(store.usage_bytes ?? 0));
  const above = bytes > GIB ? bytes - GIB : 0n;
  const millionths = (above * 1_000_000n + GIB - 1n) / GIB;
  const line = {
    ...{
      request_id: 'storage',
      client_request_id: null,
      api_key_id: null,
      operation: 'vector_stores.storage',
    },
    ...{ model: null, service_tier: null, status: null, usage: NO_USAGE, fault: null },
    units: { unit: 'bytes', amount: Number(bytes) } as const,
  };
  return invoice.add(line, millionths * MILLIONTH_PICO_USD);
}
