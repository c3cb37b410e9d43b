/** Signals: the first one asks for an orderly stop, a second one for the end of all waiting. */

/**
 * What comes this soon is the same request: npm passes a terminal's Ctrl-C on to a process that has it already, and the
 * launcher sends a SIGTERM up to half a second after npm's shell has died of it.
 */
const SAME_REQUEST_MS = 1000;

export interface StopSignals {
  asked: Promise<NodeJS.Signals>;
  /** Aborted by the second request. */
  hurry: AbortSignal;
}

/** Listens from now on; without this a signal would end the process on the spot. */
export function stopSignals(): StopSignals {
  const hurry = new AbortController();
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    let askedAtMs: number | null = null;
    const onSignal = (signal: NodeJS.Signals) => {
      const now = performance.now();
      askedAtMs ??= now;
      resolve(signal);
      if (now - askedAtMs > SAME_REQUEST_MS) hurry.abort(new Error(`a second ${signal} came`));
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  });
  return { asked, hurry: hurry.signal };
}
