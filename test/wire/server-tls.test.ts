/** The wire behind TLS: the same connections, and a reader that takes nothing is cut off there too. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import type { Exchange } from '../../src/wire/exchange.ts';
import { createWireServer } from '../../src/wire/server.ts';
import { CERTIFICATE, KEY } from './certificate.ts';

const CHUNK = Buffer.alloc(1024 * 1024);

async function serveTls(handle: (exchange: Exchange) => void) {
  const http = createServer({ cert: CERTIFICATE, key: KEY }, (_, response) => response.end('node'));
  createWireServer({ http, targets: { under: '/v1/', except: '/v1/x/' }, handler: { handle }, stallMs: 400 });
  const below: Socket[] = [];
  http.on('connection', (socket: Socket) => below.push(socket));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  const { port } = http.address() as AddressInfo;
  const open = async (path: string) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    return socket;
  };
  return { open, below };
}

it('serves its own targets itself, and Node the others, on one connection', async () => {
  const { open } = await serveTls((exchange) => exchange.respond(200, [], Buffer.from('wire')));
  const socket = await open('/v1/a');
  expect(String((await once(socket, 'data'))[0])).toMatch(/\r\n\r\nwire$/);
  socket.write('GET /page HTTP/1.1\r\nhost: x\r\n\r\n');
  expect(String((await once(socket, 'data'))[0])).toMatch(/node/);
  socket.destroy();
});

it('resets the connection of a client that takes no byte of its response', async () => {
  let finished: boolean | null = null;
  const { open, below } = await serveTls((exchange) => {
    exchange.onClose = (how) => {
      finished = how;
    };
    exchange.writeHead(200, []);
    for (let index = 0; index < 32; index++) exchange.write(CHUNK);
  });
  const socket = await open('/v1/a');
  socket.pause();
  await expect.poll(() => finished, { timeout: 30_000 }).toBe(false);
  expect(below[0]!.destroyed).toBe(true);
  socket.destroy();
});
