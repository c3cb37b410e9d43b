/** The client's side of a session, over a real WebSocket: what is sent comes as it was, in order, before the end. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Account } from '../../src/domain/budget.ts';
import { ClientLine, type LineHandler } from '../../src/gateway/lines/client-line.ts';
import { errorEventOf } from '../../src/gateway/lines/message-exchange.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function open(handler: Partial<LineHandler> = {}) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upgraded = new Promise<{ line: ClientLine; stream: Socket }>((resolve) => {
    server.on('upgrade', (request, stream: Socket, head) => {
      new WebSocketServer({ noServer: true }).handleUpgrade(request, stream, head, (socket) => {
        const line = new ClientLine(socket, stream, {
          head: { url: '/', rawHeaders: [], remoteAddress: '' },
          account: { principal: { teamId: 'team', keyId: 'key' } } as unknown as Account,
          bodies: { take: () => null, giveBack: () => {} } as never,
          errorEvent: errorEventOf,
        });
        line.attach({ onMessage: () => {}, onDrain: () => {}, onClose: () => {}, ...handler });
        resolve({ line, stream });
      });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  closing.push(() => {
    client.terminate();
    server.close();
  });
  const came: string[] = [];
  client.on('message', (data, isBinary) => came.push(isBinary ? 'binary' : data.toString()));
  const ended = once(client, 'close').then(([code]) => code as number);
  return { ...(await upgraded), client, came, ended };
}

/** Where a frame's head grows, and where a text is not copied any more. */
const LENGTHS = [0, 1, 125, 126, 127, 300, 16_384, 16_385, 65_535, 65_536, 200_000];
const texts = LENGTHS.map((length, at) => String.fromCharCode(0x61 + at).repeat(length));

describe('what is sent', () => {
  it('comes as it was, each message alone', async () => {
    const { line, came } = await open();
    for (const [at, text] of texts.entries()) {
      line.send(Buffer.from(text));
      await expect.poll(() => came.length, { timeout: 30_000 }).toBe(at + 1);
    }
    expect(came).toEqual(texts);
  });

  it('comes in its order, many messages of one turn, and before the end', async () => {
    const { line, came, ended } = await open();
    const all = [...texts, ...texts.toReversed(), '你好 😀', ...texts];
    for (const text of all) line.send(Buffer.from(text));
    line.close({ code: 4321, reason: 'over', last: Buffer.from('the last') });
    expect(await ended).toBe(4321);
    expect(came).toEqual([...all, 'the last']);
  });

  it('leaves in one write for each turn', async () => {
    const { line, stream, came } = await open();
    const before = stream.bytesWritten;
    const writes: number[] = [];
    const { write } = stream;
    stream.write = (bytes: never, ...rest: never[]) => {
      writes.push((bytes as Buffer).length);
      return write.call(stream, bytes, ...rest);
    };
    for (let at = 0; at < 5; at++) line.send(Buffer.from(`event ${at}`));
    await expect.poll(() => came.length, { timeout: 30_000 }).toBe(5);
    expect(writes).toEqual([stream.bytesWritten - before]);
  });

  it('does not pile up where the client writes and never reads, and comes when it does', async () => {
    const answer = Buffer.alloc(500, 'a');
    const opened = await open({ onMessage: () => opened.line.send(answer) });
    const { stream, client, came } = opened;
    await expect.poll(() => client.readyState, { timeout: 30_000 }).toBe(client.OPEN);
    client.pause();
    const messages = 40_000;
    for (let at = 0; at < messages; at++) client.send('a question');
    await expect.poll(() => stream.isPaused(), { timeout: 30_000 }).toBe(true);
    expect(stream.writableLength).toBeLessThan(10 * 1024 * 1024);
    client.resume();
    await expect.poll(() => came.length, { timeout: 30_000 }).toBe(messages);
  });

  it('is not wanted for a while where the client does not read, also within one turn, until it does', async () => {
    let drained = 0;
    const { line, client, came } = await open({ onDrain: () => drained++ });
    client.pause();
    const text = Buffer.alloc(10_000, 'x');
    let sent = 1;
    while (line.send(text)) sent++;
    const most = 64;
    expect(sent).toBeLessThan(most);
    // More than the kernel takes.
    for (let more = 0; more < 2_000; more++, sent++) line.send(text);
    expect(line.send(text)).toBe(false);
    client.resume();
    await expect.poll(() => came.length, { timeout: 30_000 }).toBe(sent + 1);
    await expect.poll(() => drained, { timeout: 30_000 }).toBeGreaterThan(0);
    expect(line.send(text)).toBe(true);
  });

  it('goes nowhere once the line is closed or broken', async () => {
    const { line, came, ended } = await open();
    line.send(Buffer.from('never'));
    line.terminate();
    line.send(Buffer.from('nor this'));
    expect(await ended).toBe(1006);
    expect(came).toEqual([]);
  });
});
