/** Taking over the journals of dead instances, at the start and for as long as one of them may still be alive. */
import { adoptDeadJournals, JournalDamaged, type RecoveryStore } from '../ledger/recovery.ts';
import type { Log } from '../telemetry/log.ts';
import { CannotStart } from './cannot-start.ts';

const LOOK_AGAIN_MS = 5000;

/**
 * Adopts what can be adopted now. Journals of instances that may still live on another machine or in another container
 * are looked at again; answers how to end that.
 * @throws CannotStart when a journal is damaged; any error of the database
 */
export async function adoptJournals(store: RecoveryStore, folder: string, log: Log): Promise<() => void> {
  const { logger } = log;
  const adopt = async () => {
    const { adopted, elsewhere } = await adoptDeadJournals(store, folder);
    for (const { path, inserted, unknown } of adopted) {
      logger.warn({ journal: path, inserted, unknown }, 'adopted the journal of an instance that died');
    }
    return elsewhere;
  };
  let left: number;
  try {
    left = await adopt();
  } catch (error) {
    if (error instanceof JournalDamaged) throw new CannotStart(error.message, { cause: error });
    throw error;
  }
  if (left === 0) return () => {};
  logger.warn(
    { journals: left },
    'journals of another machine or container are adopted once it is surely gone',
  );
  const timer = setInterval(() => {
    adopt().then(
      (elsewhere) => {
        if (elsewhere === 0) clearInterval(timer);
      },
      (error) => logger.error({ err: error }, 'a journal could not be adopted'),
    );
  }, LOOK_AGAIN_MS);
  timer.unref();
  return () => clearInterval(timer);
}
