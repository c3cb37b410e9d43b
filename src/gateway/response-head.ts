/** Response headers: the upstream's, and ours beside them. */
import { formatUsd } from '../domain/money.ts';
import { clientHeaders } from '../openai/wire/headers.ts';
import type { GatewayDeps } from './deps.ts';
import { warningOf } from './error-response.ts';
import type { Reserved } from './stages/reserve.ts';
import type { UpstreamHeaders } from './upstream-response.ts';

const NOTHING = Buffer.alloc(0);

/** The head of a response that is relayed as it comes; its cost is not known yet, its hold is. */
export function beginStream(
  deps: GatewayDeps,
  reserved: Reserved,
  status: number,
  headers: UpstreamHeaders,
): void {
  const { hold } = reserved;
  const flat = clientHeaders(headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-hold-usd', formatUsd(hold.amount));
  addCommon(deps, reserved, flat);
  reserved.call.exchange.writeHead(status, flat);
  reserved.call.exchange.write(NOTHING);
}

/** Adds what both kinds of responses have. */
export function addCommon(deps: GatewayDeps, reserved: Reserved, flat: string[]): void {
  const { outputLimit } = reserved.hold;
  if (outputLimit !== null) flat.push('x-tollgate-output-limit', String(outputLimit));
  const warning = warningOf(deps, reserved.account, reserved.callKind.endUser);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
}
