/** The catalog of an instance: keys, prices and the ends of models, and what follows the version that they share. */
import { ClientAddresses } from '../auth/addresses.ts';
import { Catalog } from '../auth/catalog.ts';
import { KeyCache } from '../auth/keys.ts';
import { RecentChanges } from '../auth/recent-changes.ts';
import type { Config } from '../config.ts';
import type { Breaker } from '../gateway/breaker.ts';
import { Shutdowns } from '../gateway/shutdowns.ts';
import { followCatalog } from '../jobs/follow-catalog.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { recentChanges } from '../store/audit.ts';
import { catalogChanges, findKey } from '../store/hot/catalog.ts';
import { readShutdowns, writeShutdowns } from '../store/shutdowns.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';

export interface CatalogBase {
  config: Config;
  log: Log;
  /** Undoes the start in reverse: a failed start and an orderly stop leave the same nothing behind. */
  back: AsyncDisposableStack;
  store: Store;
  onStoreError: (error: unknown) => void;
  /** How often this instance reported spending to Postgres, or noticed a change of limits or grants. */
  moves: { count: number };
  breaker: Breaker;
  /** Where the catalog's version goes that a heartbeat brings. */
  heartbeats: { onCatalogVersion: (version: number) => void; onPutBack: () => void };
}

/** Reads the catalog, and follows it until `back` is undone. Rejects where it cannot be read. */
export async function openCatalog(base: CatalogBase, ledger: Ledger) {
  const { config, log, back, store, moves, breaker, heartbeats, onStoreError } = base;
  const { database, rateCards } = store;
  const { sql } = database;
  const addresses = new ClientAddresses(config.trustedProxies);
  const shutdowns = new Shutdowns({
    write: (noted) => writeShutdowns(database, noted),
    onError: onStoreError,
  });
  const changes = new RecentChanges({
    read: () => recentChanges(database),
    onLost: (change) => log.logger.error({ change }, 'the database has forgotten a change: make it again'),
  });
  const keys = new KeyCache({ findKey: (hash) => findKey(sql, hash), addresses });
  const catalog = new Catalog({
    source: {
      changes: (version) => catalogChanges(sql, version),
      rateCards,
      async readOthers() {
        shutdowns.known(await readShutdowns(sql));
        // That it cannot be read must not keep a change from binding.
        await changes.read().catch(onStoreError);
      },
    },
    keys,
    onChange: (changed, reread) => {
      moves.count++;
      ledger.revoke(changed, reread);
    },
    outdated() {
      const { flushedMs } = ledger.flusher;
      const teamIds = breaker.recordedBefore(flushedMs);
      breaker.forgetBefore(flushedMs);
      return teamIds;
    },
    onError: onStoreError,
  });
  await catalog.start();
  const following = followCatalog({
    version: () => catalog.version,
    poll: () => catalog.poll(),
    isQuiet: () => ledger.isQuiet,
  });
  heartbeats.onCatalogVersion = following.heard;
  heartbeats.onPutBack = () => void catalog.reread();
  back.defer(() => following.stop());
  return { addresses, keys, catalog, shutdowns };
}
