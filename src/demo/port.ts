/** Finds where to listen. */
import { once } from 'node:events';
import { createServer } from 'node:net';

const ATTEMPTS = 20;

/** The first port from `wanted` on that is free on an address; null when the next twenty are taken. */
export async function freePort(wanted: number, host: string): Promise<number | null> {
  const last = Math.min(wanted + ATTEMPTS, 65_536);
  for (let port = wanted; port < last; port++) if (await isFree(port, host)) return port;
  return null;
}

/** Rejects for any other reason than that somebody has it: a port that needs privileges, an address not ours. */
async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  } finally {
    if (server.listening) {
      server.close();
      await once(server, 'close');
    }
  }
}
