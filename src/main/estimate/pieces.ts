/** A file of any length in pieces, with a bar on a terminal that shows how far it was read. */
import { open } from 'node:fs/promises';
import { type ApiError, apiError } from '../../domain/errors.ts';

const PIECE_BYTES = 256 * 1024;
/** Shorter files are read before anyone looks. */
const BAR_FROM_BYTES = 8 * 1024 * 1024;
const BAR_EVERY_MS = 100;
const BAR_WIDTH = 30;

interface Screen {
  stderr(text: string): void;
  isTerminal: boolean;
}

/** Reads a file and returns what is made of its pieces; an error when it cannot be read. A piece is valid until the next. */
export async function readPieces<Value>(
  path: string,
  screen: Screen,
  use: (pieces: AsyncIterable<Buffer>) => Promise<Value>,
): Promise<Value | ApiError> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const bar = screen.isTerminal && size >= BAR_FROM_BYTES ? new Bar(screen, size) : null;
      const value = await use(piecesOf(file, bar));
      bar?.clear();
      return value;
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    const why = code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    return apiError('invalid_request', `cannot read ${path}: ${why}`, { param: 'file' });
  }
}

async function* piecesOf(
  file: Awaited<ReturnType<typeof open>>,
  bar: Bar | null,
): AsyncGenerator<Buffer, void, undefined> {
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    bar?.advance(bytesRead);
  }
}

class Bar {
  readonly #screen: Screen;
  readonly #bytes: number;
  #done = 0;
  #drawnMs = 0;

  constructor(screen: Screen, bytes: number) {
    this.#screen = screen;
    this.#bytes = bytes;
  }

  advance(bytes: number): void {
    this.#done += bytes;
    const nowMs = performance.now();
    if (nowMs - this.#drawnMs < BAR_EVERY_MS) return;
    this.#drawnMs = nowMs;
    const share = Math.min(1, this.#done / this.#bytes);
    const full = Math.floor(share * BAR_WIDTH);
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`;
    const megabytes = `${Math.floor(this.#done / 1e6)} of ${Math.ceil(this.#bytes / 1e6)} MB`;
    this.#screen.stderr(`\r${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${megabytes} `);
  }

  clear(): void {
    this.#screen.stderr('\r\u001b[2K');
  }
}
