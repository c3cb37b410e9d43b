/** A load balancer as plain as they come: each request goes to the next instance. */
import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

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
  // A WebSocket stays with the instance that took its handshake.
  server.on('upgrade', ({ method, url, rawHeaders }: IncomingMessage, incoming: Socket, head: Buffer) => {
    const { hostname, port } = new URL(instances[count++ % instances.length] ?? '');
    const onward = connect(Number(port), hostname);
    const lines = rawHeaders.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`));
    onward.write(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`);
    onward.write(head);
    onward.pipe(incoming).pipe(onward);
    for (const [one, other] of [
      [onward, incoming],
      [incoming, onward],
    ] as const) {
      one.on('error', () => {});
      one.once('close', () => other.destroy());
    }
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
