/** Finds a free port. */
import { once } from 'node:events';
import { createServer } from 'node:net';

const ATTEMPTS = 20;

/** Returns the first free port of an address from `wanted` on; null when twenty in a row are taken. */
export async function freePort(wanted: number, host: string): Promise<number | null> {
  const last = Math.min(wanted + ATTEMPTS, 65_536);
  for (let port = wanted; port < last; port++) if (await isFree(port, host)) return port;
  return null;
}

/** Rejects for any other reason than a port in use: a port that needs privileges, an address of another machine. */
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
