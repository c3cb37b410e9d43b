/** How much may wait in this instance: calls hold memory while they wait, so both their number and bytes are bounded. */
export class WaitingRoom {
  readonly #maxCalls: number;
  readonly #maxBytes: number;
  calls = 0;
  #bytes = 0;

  constructor(maxCalls: number, maxBytes: number) {
    this.#maxCalls = maxCalls;
    this.#maxBytes = maxBytes;
  }

  /** Lets a call in and answers how it leaves (once), or null when the room is full. */
  enter(bytes: number): (() => void) | null {
    if (this.calls >= this.#maxCalls || this.#bytes + bytes > this.#maxBytes) return null;
    this.calls++;
    this.#bytes += bytes;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.calls--;
      this.#bytes -= bytes;
    };
  }
}
