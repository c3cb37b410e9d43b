import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { sendAsItComes } from '../../src/wire/slices.ts';
import type { BodySink } from '../../src/wire/upstream.ts';

/** A socket that takes one write at a time, when it is let; it reads the bytes then, as the kernel does. */
function slowSocket() {
  const taken: string[] = [];
  let waiting: (() => void) | null = null;
  const socket = new Writable({
    decodeStrings: true,
    write(piece: Buffer, _encoding, callback) {
      waiting = () => {
        taken.push(piece.toString('latin1'));
        callback();
      };
    },
  });
  /** Takes writes until one ends in this text; its callback has then run. */
  const take = async (text: string) => {
    do {
      const next = waiting!;
      waiting = null;
      next();
      await new Promise(setImmediate);
    } while (!taken.at(-1)!.endsWith(text));
  };
  return { socket: socket as unknown as Socket, taken, take };
}

function begin(socket: Socket, length: number | null): BodySink {
  let begun: BodySink | null = null;
  const source = {
    length,
    start: (sink: BodySink) => {
      begun = sink;
    },
    pause: () => {},
    resume: () => {},
  };
  const progress = { isOver: () => false, onPiece: () => {}, onSent: () => {}, onFailure: () => {} };
  sendAsItComes(socket, source, progress);
  return begun!;
}

/** What was read at once: pieces of one memory that is in no other use. */
function readAtOnce(...texts: string[]): Buffer[] {
  const all = Buffer.from(new Uint8Array(Buffer.from(texts.join(''))).buffer);
  let at = 0;
  return texts.map((text) => {
    at += text.length;
    return all.subarray(at - text.length, at);
  });
}

it.each([null, 15])(
  'memory is given back once what was read later is written, never while a piece of it waits (length: %s)',
  async (length) => {
    const { socket, taken, take } = slowSocket();
    const sink = begin(socket, length);
    const [one, two] = readAtOnce('one..', 'two..') as [Buffer, Buffer];
    const [three, behind] = readAtOnce('three', 'GET /next') as [Buffer, Buffer];
    for (const piece of [one, two, three]) sink.write(piece);
    expect(one.buffer.byteLength).toBe(10);
    await take('one..');
    expect(one.buffer.byteLength).toBe(10);
    await take('two..');
    // The last may have another request at its end.
    expect(one.buffer.byteLength).toBe(10);
    await take('three');
    expect(one.buffer.byteLength).toBe(0);
    expect(behind.toString()).toBe('GET /next');
    expect(taken.join('')).toBe(
      length === null ? '5\r\none..\r\n5\r\ntwo..\r\n5\r\nthree' : 'one..two..three',
    );
  },
);

it('memory of the pool that others use is never given back', async () => {
  const { socket, take } = slowSocket();
  const sink = begin(socket, 15);
  const pooled = ['one..', 'two..'].map((text) => Buffer.from(text));
  const [three] = readAtOnce('three') as [Buffer];
  for (const piece of [...pooled, three]) sink.write(piece);
  await take('three');
  expect(pooled.map(String)).toEqual(['one..', 'two..']);
});
