/** An upstream's frames: in whatever pieces they are read, the messages are those that were sent, and what breaks the protocol ends the line. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { UpstreamLine } from '../../src/gateway/lines/upstream-line.ts';
import { WholeTexts } from '../../src/gateway/lines/whole-texts.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
  vi.restoreAllMocks();
});

/** Opens a line to a real server; `read` does what the stream below the line does with bytes that the kernel has. */
async function open() {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<number>();
  const { promise: other, resolve: onOther } = Promise.withResolvers<WebSocket>();
  server.on('connection', (socket) => {
    socket.on('close', onClosed);
    onOther(socket);
  });
  const of = vi.spyOn(WholeTexts, 'of');
  const came: string[] = [];
  const { promise: isOpen, resolve: onOpen } = Promise.withResolvers<unknown>();
  const { promise: ended, resolve: onClose } = Promise.withResolvers<number>();
  const times = { connectTimeoutMs: 60_000, firstEventTimeoutMs: 60_000, idleTimeoutMs: 60_000 };
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const line = new UpstreamLine({ baseUrl, ...times }, '/', [], {
    onOpen,
    onMessage: (text) => came.push(text.toString()),
    onRefused: onClose,
    onUnreachable: () => onClose(0),
    onClose,
  });
  closing.push(() => {
    line.terminate();
    server.close();
  });
  await isOpen;
  expect(of.mock.results[0]?.value).toBeInstanceOf(WholeTexts);
  const stream = of.mock.calls[0]?.[0] as Socket;
  const read = (bytes: Buffer, size = bytes.length) => {
    for (let at = 0; at < bytes.length; at += size) stream.emit('data', bytes.subarray(at, at + size));
  };
  return { came, closed, ended, read, line, stream, other: await other };
}

/** Returns a frame as a server writes it. */
function frame(payload: Buffer | string, first = 0x81): Buffer {
  const bytes = Buffer.from(payload);
  const head = Buffer.alloc(10);
  head[0] = first;
  let end = 2;
  if (bytes.length < 126) head[1] = bytes.length;
  else if (bytes.length < 65_536) {
    head[1] = 126;
    end = head.writeUInt16BE(bytes.length, 2);
  } else {
    head[1] = 127;
    end = head.writeBigUInt64BE(BigInt(bytes.length), 2);
  }
  return Buffer.concat([head.subarray(0, end), bytes]);
}

/** Where a frame's head grows. */
const LENGTHS = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000];
const texts = LENGTHS.map((length, at) => `${at % 2 === 0 ? '' : 'é'}${'x'.repeat(length)}`);
const shortTexts = texts.filter(({ length }) => length < 1000);
const PING = frame('still there?', 0x89);
const PONG = frame('', 0x8a);

describe('whole texts', () => {
  it.each([1, 2, 3, 7, 11, 127, 1000, 65_536, 1_000_000])(
    'come as they were, in pieces of %i bytes',
    async (size) => {
      const sent = size < 100 ? shortTexts : texts;
      const frames = Buffer.concat(sent.flatMap((text) => [frame(text), PING, PONG]));
      const { came, read } = await open();
      read(frames, size);
      read(frames);
      read(frames, size + 1);
      expect(came).toEqual([...sent, ...sent, ...sent]);
    },
  );

  it('come as they were when their heads come in pieces', async () => {
    const { came, read } = await open();
    for (const text of texts) {
      const bytes = frame(text);
      read(bytes.subarray(0, 12), 1);
      read(bytes.subarray(12));
    }
    expect(came).toEqual(texts);
  });

  it('come in their order beside messages in fragments, between which others may stand', async () => {
    const { came, read } = await open();
    const fragments = Buffer.concat([frame('in two', 0x01), PING, frame(' parts', 0x80)]);
    read(Buffer.concat([frame('before'), fragments, frame('after')]));
    read(Buffer.concat([frame('one more'), fragments]), 3);
    expect(came).toEqual(['before', 'in two parts', 'after', 'one more', 'in two parts']);
  });

  it('come before the end of the line, and none after it', async () => {
    const { came, ended, read } = await open();
    const end = frame(Buffer.from([0x0f, 0xa1]), 0x88);
    read(Buffer.concat([frame('the last'), end, frame('too late')]));
    read(frame('too late'));
    expect(await ended).toBe(4001);
    expect(came).toEqual(['the last']);
  });

  it('come once when they were read from a line that was broken off while it paused', async () => {
    const { came, ended, line, stream, other } = await open();
    line.pause();
    other.send('waits');
    await expect.poll(() => stream.readableLength, { timeout: 30_000 }).toBeGreaterThan(0);
    stream.destroy();
    await ended;
    expect(came).toEqual(['waits']);
  });
});

describe('what breaks the protocol', () => {
  const masked = frame('masked');
  masked[1] = 0x80 | 6;
  const tooLong = frame('').subarray(0, 1);
  const cases: [string, Buffer, number][] = [
    ['no UTF-8', frame(Buffer.from([0x61, 0xff])), 1007],
    ['a mask', masked, 1002],
    ['an extension that nobody asked for', frame('x', 0xc1), 1002],
    ['a new text between fragments', Buffer.concat([frame('x', 0x01), frame('y')]), 1002],
    ['a longer message than any', Buffer.concat([tooLong, Buffer.from([127, 0, 0, 0, 1, 0, 0, 0, 0])]), 1009],
  ];
  it.each(cases)('ends the line: %s', async (_, bytes, code) => {
    for (const size of [bytes.length, 1]) {
      const { came, closed, read } = await open();
      read(frame('before'));
      read(bytes, size);
      await new Promise(setImmediate);
      read(frame('after'));
      expect(await closed).toBe(code);
      expect(came).toEqual(['before']);
      vi.restoreAllMocks();
    }
  });
});
