/**
 * Containers that calls use. Owns: which of them begin a session with a call, so that a session is billed once, to the team
 * whose call began it, by whichever replica. Does not own: the rows (store/hot/objects.ts), nor what a session costs.
 */
import { usedContainers } from '../domain/hosted.ts';
import type { GatewayDeps } from './deps.ts';
import type { Forwarded } from './stages/forward.ts';
import { meter } from './stages/settle.ts';

/**
 * Begins the sessions of the containers that a response used, and records those that are new. Returns how many began,
 * counted by their GiB of memory; null: that could not be found out.
 */
export async function beginSessions(
  { objects, clock, log, target }: GatewayDeps,
  { reserved, response }: Forwarded,
): Promise<number | null> {
  const { containers, account } = reserved;
  const used = meter(reserved, response).hosted?.containers ?? [];
  if (used.length === 0 || containers === null) return 0;
  const upstream = target?.name ?? null;
  const all = usedContainers(used, containers).map((each) => ({ ...each, upstream }));
  try {
    return await objects.store.beginSessions(account.principal.teamId, all, clock.nowMs(), reserved.hold.id);
  } catch (error) {
    log.logger.error({ err: error }, 'the sessions of containers could not be looked up');
    return null;
  }
}
