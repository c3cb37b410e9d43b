/** A socket without a network: what it is sent is kept, what the other side sends is pushed into it. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export class FakeSocket extends Duplex {
  sent = '';
  /** The owner has sent all that it will. */
  sentEnd = false;
  readonly remoteAddress = '127.0.0.1';
  readonly connecting = false;

  constructor(options: { allowHalfOpen: boolean }) {
    super({ ...options, highWaterMark: 64 * 1024 });
  }

  override _read(): void {}

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.sent += bytes.toString('latin1');
    done();
  }

  override _final(done: () => void): void {
    this.sentEnd = true;
    done();
  }

  /** Called with what is put back to be read again. */
  onUnshift: (text: string) => void = () => {};

  override unshift(bytes: Buffer): void {
    this.onUnshift(bytes.toString('latin1'));
    super.unshift(bytes);
  }

  /** Bytes of the other side; null: its end. */
  arrive(text: string | null): void {
    if (this.destroyed) return;
    this.push(text === null ? null : Buffer.from(text, 'latin1'));
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}

/** Resolves when all that was set off by now has happened. */
export async function settled(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}
