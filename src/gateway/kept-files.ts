/**
 * Files that did not pass here in one piece: made before Tollgate, or sent in parts. Owns: reading such a file from the upstream
 * that keeps it, once a job names it, no faster than it is counted. Does not own: whose it is (tenancy.ts), what its job may cost.
 */
import type { FileCount } from '../planner/file-count.ts';
import { UpstreamReader } from '../upstreams/read.ts';
import type { GatewayDeps } from './deps.ts';
import type { CountedUpload } from './file-counts.ts';

/** A client waits meanwhile; the official ones do so for ten minutes. */
const READ_MS_MAX = 240_000;
/** The API takes files of 512 MB. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** Returns what asks the upstream; null: there is none. */
export function readerOf({ upstream, upstreamApiKey, target }: GatewayDeps): UpstreamReader | null {
  if (upstream === null) return null;
  return new UpstreamReader({
    upstream,
    headers: target?.headers ?? ['authorization', `Bearer ${upstreamApiKey}`],
    ...(target === null ? null : { pathOf: (path: string) => target.pathOf(path, null) }),
    timeoutMs: READ_MS_MAX,
  });
}

/** Returns what a file holds, at the prices of now; null: it could not be read, or holds no lines that jobs read. */
export async function countKept(deps: GatewayDeps, id: string): Promise<FileCount | null> {
  const { fileCounts, catalog, clock } = deps;
  const reader = readerOf(deps);
  if (reader === null) return null;
  return await countAll(reader, id, fileCounts.beginFile(catalog.rates, clock.nowMs()));
}

/** Has a file counted; returns its count, null: it could not be read, or has none. */
export async function countAll<Count>(
  reader: UpstreamReader,
  id: string,
  counted: CountedUpload<Count>,
): Promise<Count | null> {
  let bytes = 0;
  const isWhole = await reader.file(id, (piece, call) => {
    bytes += piece.length;
    if (bytes > FILE_BYTES_MAX) throw new Error('the file is larger than the API takes');
    counted.push(piece);
    if (!counted.isBehind) return;
    call.pause();
    counted.onCaughtUp = () => call.resume();
  });
  if (!isWhole) counted.stop();
  return await counted.end();
}
