import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { freeMemory } from '../../src/wire/slices.ts';

it('gives back what a socket read at once, and nothing of the pool that others use', async () => {
  const sizes = new Set<number>();
  const server = createServer((socket) => {
    socket.on('data', (bytes: Buffer) => {
      const before = bytes.buffer.byteLength;
      freeMemory(bytes);
      // A full read is as large as Node's pool (Node 24: 64 KB).
      if (bytes.buffer.byteLength === 0) sizes.add(before);
    });
    socket.on('end', () => socket.end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  client.end(Buffer.alloc(8_000_000));
  client.resume();
  await once(client, 'close');
  server.close();
  expect(sizes).toContain(65_536);

  const pooled = Buffer.allocUnsafe(100);
  const others = Buffer.allocUnsafe(100).fill('x');
  for (const each of [pooled, others]) freeMemory(each);
  expect([pooled.length, others.toString()]).toEqual([100, 'x'.repeat(100)]);
});
