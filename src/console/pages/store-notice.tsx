/** What the database has forgotten, for as long as admins have something to do about it. */
import type { StoreState } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { useMessages } from '../shell/language.ts';

const POLL_MS = 5_000;
/** By then the forgotten changes were made again, or are not missed. */
const SHOWN_MS = 7 * 24 * 3_600_000;

export function StoreNotice() {
  const t = useMessages();
  const { data } = useApi<StoreState>('/store', {}, POLL_MS);
  if (data === null) return null;
  const { is_lending: isLending, awaited, gaps, lost_changes: changes, began_at: beganAt } = data;
  const isRecent = Date.parse(beganAt) > Date.now() - SHOWN_MS;
  if (isLending && (!isRecent || gaps.length + changes.length === 0)) return null;
  return (
    <p class="notice apart" role="status">
      {isLending
        ? t.overview.storeForgot(changes.length, gaps.length)
        : t.overview.storeWaits(awaited.length)}
    </p>
  );
}
