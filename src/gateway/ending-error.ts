/** The errors of calls by how their connection to the upstream ended. */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { OutcomeName } from '../domain/outcome.ts';

/** `busy`: there was no connection in time. `unsent`: the client left, or the gateway stopped, before there was one. */
export type Ending =
  | 'complete'
  | 'busy'
  | 'unsent'
  | 'unreachable'
  | 'interrupted'
  | 'timeout'
  | 'abandoned'
  | 'cut'
  | 'over_limit';

/** For calls that come to a gateway which is about to end. */
export function shuttingDown(): ApiError {
  return apiError('shutting_down', 'This gateway is stopping; try again.', { retryAfterMs: 1000 });
}

const CHARGES = {
  settled: 'its cost is known',
  voided: 'nothing is charged',
  unknown: 'its cost is not known yet',
} as const satisfies Record<OutcomeName, string>;

/** The error of a stream of a response that is worked on in the background: nothing is lost with it. */
export function errorOfReplay(ending: Ending, nextSequenceNumber: number): ApiError {
  const { code, message } = errorOfEnding(ending, 'settled');
  const [what = ''] = message.split(/[;.]/, 1);
  const where = nextSequenceNumber > 0 ? ` and 'starting_after=${nextSequenceNumber - 1}'` : '';
  const back = `retrieve it, or go on with 'stream=true'${where}`;
  return apiError(code, `${what}. The response is worked on in the background and is not lost: ${back}.`);
}

/** The error of a call that was forwarded, or was to be, and has no answer that could be passed on. */
export function errorOfEnding(ending: Ending, outcome: OutcomeName): ApiError {
  if (ending === 'busy') {
    const message =
      'All connections to the upstream that this team may use are in use; nothing was sent or charged.';
    return apiError('upstream_busy', message, { retryAfterMs: 1000 + Math.random() * 1000 });
  }
  if (ending === 'unsent') return shuttingDown();
  if (ending === 'unreachable') {
    const message = 'The upstream could not be reached; nothing was sent or charged.';
    return apiError('upstream_unreachable', message, { retryAfterMs: 1000 });
  }
  if (ending === 'over_limit') {
    const what = 'The upstream wrote more than the output limit that it was sent, so it was stopped';
    return apiError('upstream_over_limit', `${what}; ${CHARGES[outcome]}.`);
  }
  if (ending === 'timeout') return apiError('upstream_timeout', 'The upstream did not respond in time.');
  const what =
    ending === 'cut'
      ? 'The gateway stopped before the response ended'
      : "The upstream's response broke off before its end";
  return apiError('upstream_interrupted', `${what}; ${CHARGES[outcome]}.`);
}
