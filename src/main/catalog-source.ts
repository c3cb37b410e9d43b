/** What follows the catalog's version: keys, prices, and the days from which models serve no more. */
import type { CatalogSource } from '../auth/catalog.ts';
import { Shutdowns } from '../gateway/shutdowns.ts';
import { catalogChanges } from '../store/hot/catalog.ts';
import { readShutdowns, writeShutdowns } from '../store/shutdowns.ts';
import type { Store } from '../store/store.ts';

export function catalogSource(
  { database, rateCards }: Store,
  onError: (error: unknown) => void,
): { source: CatalogSource; shutdowns: Shutdowns } {
  const shutdowns = new Shutdowns({ write: (noted) => writeShutdowns(database, noted), onError });
  const source = {
    changes: (version: number) => catalogChanges(database.sql, version),
    rateCards,
    readOthers: async () => shutdowns.known(await readShutdowns(database.sql)),
  };
  return { source, shutdowns };
}
