/** Calls at random moments, each timed from its sending. Part of the load generator. */
import { Worker } from 'node:worker_threads';
import { SENT_AT_DIGITS, SENT_AT_MARK } from './answers.ts';
import { nowUs } from './child.ts';
import { Connection, type Failed } from './connection.ts';
import { type Percentiles, percentiles } from './statistics.ts';
import type { Tick, TickerOptions } from './ticker.ts';

/**
 * With this many calls under way a paced run sends no more: whatever holds them up already shows in their latency, and the
 * run has to end.
 */
const MAX_CALLS_UNDER_WAY = 1_024;

interface Pace {
  target: { port: number };
  stream: boolean;
  callsPerSecond: number;
  seconds: number;
}

interface Paced {
  calls: number;
  latency: Percentiles;
  chunkDelay: Percentiles | null;
}

/** Returns how long a chunk was under way, or null when `data` holds no moment of writing. */
function chunkDelayUs(data: Buffer, arrivedAtUs: number): number | null {
  const mark = data.indexOf(SENT_AT_MARK);
  if (mark < 0) return null;
  const start = mark + SENT_AT_MARK.length;
  return arrivedAtUs - Number(data.toString('latin1', start, start + SENT_AT_DIGITS));
}

/** Runs for `seconds` and until the last call has ended. More connections than `free` are opened as calls need them. */
export async function pace(
  { target, stream, callsPerSecond, seconds }: Pace,
  request: Buffer,
  free: Connection[],
  failed: Failed,
): Promise<Paced> {
  const latenciesUs: number[] = [];
  const chunkDelaysUs: number[] = [];
  let calls = 0;
  let underWay = 0;
  let ended = false;
  const finished = Promise.withResolvers<void>();

  const send = (connection: Connection) => {
    const sentAtUs = nowUs();
    let first = true;
    const onBody = (data: Buffer) => {
      const arrivedAtUs = nowUs();
      if (first) latenciesUs.push(arrivedAtUs - sentAtUs);
      first = false;
      const delayUs = chunkDelayUs(data, arrivedAtUs);
      if (delayUs !== null) chunkDelaysUs.push(delayUs);
    };
    const onEnd = () => {
      if (!stream) latenciesUs.push(nowUs() - sentAtUs);
      free.push(connection);
      calls += 1;
      underWay -= 1;
      if (ended && underWay === 0) finished.resolve();
    };
    connection.start(stream ? { request, onBody, onEnd } : { request, onEnd });
  };
  const due = () => {
    if (underWay === MAX_CALLS_UNDER_WAY) return;
    underWay += 1;
    let connection = free.pop();
    while (connection && !connection.usable) connection = free.pop();
    if (connection) send(connection);
    else Connection.open(target.port, failed).then(send, (error: Error) => failed(error.message));
  };

  const workerData: TickerOptions = { callsPerSecond, seconds };
  const ticker = new Worker(new URL('./ticker.ts', import.meta.url), { workerData });
  ticker.on('error', (error) => failed(String(error)));
  ticker.on('message', (tick: Tick) => {
    if (tick === 'due') return due();
    ended = true;
    if (underWay === 0) finished.resolve();
  });
  await finished.promise;
  const chunkDelay = stream ? percentiles(chunkDelaysUs) : null;
  return { calls, latency: percentiles(latenciesUs), chunkDelay };
}
