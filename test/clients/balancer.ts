/** A load balancer as plain as they come: each request goes to the next instance. */
import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Balancer {
  url: string;
  /** Requests that came so far. */
  requests(): number;
  close(): void;
}

/** Starts one before these base URLs. */
export async function startBalancer(instances: readonly string[]): Promise<Balancer> {
  let count = 0;
  const server = createServer((incoming, outgoing) => {
    const instance = instances[count++ % instances.length] ?? '';
    const { method, headers, url } = incoming;
    const onward = forward(`${instance}${url}`, { method, headers }, (answer: IncomingMessage) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
    outgoing.once('close', () => onward.destroy());
    onward.once('error', () => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => count,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
