/** A proxy in front of the tests' PostgreSQL, on a socket of its own, whose connections can be cut or frozen. */
import { connect as connectTo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { inject } from 'vitest';
import { afterFile } from './after-file.ts';
import { temporaryFolder } from './folder.ts';

export interface PostgresProxy {
  /** The folder of the socket, as the `host` of a URL. */
  folder: string;
  path: string;
  /** Connections made so far. */
  opened: number;
  /** The next connection breaks at its first bytes. */
  slamNext: boolean;
  /** Nothing comes through the present connections any more, and none of them ends. */
  freeze(): void;
  cut(): void;
  /** The URL of a database behind it. */
  url(database: string): string;
}

export async function startProxy(target = inject('postgresSocket')): Promise<PostgresProxy> {
  const folder = await temporaryFolder();
  const pairs = new Set<[Socket, Socket]>();
  const frozen = new Set<Socket>();
  const proxy: PostgresProxy = {
    folder,
    path: join(folder, '.s.PGSQL.5432'),
    opened: 0,
    slamNext: false,
    freeze() {
      for (const pair of pairs) {
        for (const socket of pair) {
          socket.unpipe().pause();
          frozen.add(socket);
        }
      }
      pairs.clear();
    },
    cut() {
      for (const [client] of pairs) client.end();
    },
    url: (database) => `postgres:///${database}?host=${encodeURIComponent(folder)}&user=postgres`,
  };
  const server = createServer((client) => {
    proxy.opened++;
    const upstream = connectTo(target);
    client.pipe(upstream).pipe(client);
    if (proxy.slamNext) client.once('data', () => client.destroy());
    proxy.slamNext = false;
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    for (const socket of pair) socket.on('error', () => socket.destroy());
    client.on('close', () => pairs.delete(pair) && upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(proxy.path, resolve));
  afterFile(() => {
    for (const socket of [...[...pairs].flat(), ...frozen]) socket.destroy();
    server.close();
  });
  return proxy;
}
