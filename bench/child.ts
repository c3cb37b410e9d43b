/** What the bench's own scripts share on the child's side. */
import type { AddressInfo, Server } from 'node:net';

/** Tells the bench the port on which this script listens, and ends the script when the bench is gone. */
export function readyWithPort(server: Server): void {
  process.on('disconnect', () => process.exit(1));
  process.send?.({ port: (server.address() as AddressInfo).port });
}

/** Microseconds on the machine's monotonic clock, which all processes share. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
