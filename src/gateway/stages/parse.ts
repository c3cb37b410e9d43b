/** Parse: from the client's bytes to what they ask for, and whether this account may ask for it. */
import { type Account, type CallKind, needsEndUser } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/limit.ts';
import { includesModel } from '../../domain/price.ts';
import { type ParsedRequest, readRequest } from '../../openai/request.ts';
import { decode, REQUEST_ENCODINGS } from '../../openai/wire/decode.ts';
import { type Call, type Stopped, stopped } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Authenticated } from './authenticate.ts';

export interface Parsed {
  readonly kind: 'parsed';
  readonly call: Call;
  readonly account: Account;
  readonly generation: number;
  readonly request: ParsedRequest;
  /** What of the call decides which limits touch it: its model, and whom the application calls for. */
  readonly callKind: CallKind;
}

/** Reads the body whole, bounded before and after it is decoded, and no longer than its client keeps the connection. */
export function parse(deps: GatewayDeps, authenticated: Authenticated): Promise<Parsed | Stopped> {
  const { call } = authenticated;
  return new Promise((resolve, reject) => {
    call.exchange.readBody(deps.maxBodyBytes, (body) => {
      call.ended('upload');
      const encoding = call.exchange.header('content-encoding');
      if (encoding !== undefined && body instanceof Buffer) {
        decode(encoding, body, deps.maxBodyBytes)
          .then((decoded) => resolve(parsed(deps, authenticated, decoded)))
          .catch(reject);
        return;
      }
      try {
        resolve(parsed(deps, authenticated, body));
      } catch (error) {
        reject(error);
      }
    });
  });
}

function parsed(
  deps: GatewayDeps,
  authenticated: Authenticated,
  body: Buffer | 'too_large' | 'gone' | 'unknown' | 'damaged',
): Parsed | Stopped {
  const { call, route, account, generation } = authenticated;
  const { name } = route.descriptor;
  if (body === 'gone') return stopped(call, null, name, account, null);
  if (body === 'too_large') {
    const message = `The body is larger than ${deps.maxBodyBytes} bytes, the limit of this gateway.`;
    return stopped(call, apiError('request_too_large', message), name, account, null);
  }
  if (body === 'unknown' || body === 'damaged') {
    const message =
      body === 'damaged'
        ? 'The body is not what its content-encoding says.'
        : `The body's content-encoding is not read: send ${REQUEST_ENCODINGS}, or the body as it is.`;
    const detail = { headers: { 'accept-encoding': REQUEST_ENCODINGS } };
    return stopped(call, apiError('invalid_request', message, detail), name, account, null);
  }
  const request = readRequest(route, body, deps.bodyBounds);
  if (request instanceof ApiError) return stopped(call, request, name, account, null);
  const endUser = endUserOf(request.operation.endUser ?? call.exchange.header('x-tollgate-user'));
  const callKind = { model: request.operation.model ?? '', endUser };
  const error = whyNotAllowed(account, request, endUser);
  if (error !== null) return stopped(call, error, name, account, endUser);
  call.ended('parse');
  return { kind: 'parsed', call, account, generation, request, callKind };
}

/** Returns why the account does not allow the request; null: it does. */
export function whyNotAllowed(
  account: Account,
  { operation: { model, billable } }: ParsedRequest,
  endUser: string | null,
): ApiError | null {
  if (model === null) return null;
  if (endUser === null && billable && account.limits.length > 0 && needsEndUser(account, model)) {
    return apiError(
      'missing_end_user',
      "A limit counts this team's end users: say whose call it is in 'safety_identifier', 'user' or the header x-tollgate-user.",
      { param: 'safety_identifier' },
    );
  }
  if (!mayUse(account.principal, model)) {
    const message = `This key may not use the model '${model.slice(0, 100)}'.`;
    return apiError('model_not_allowed', message, { param: 'model' });
  }
  return null;
}

/** A name that a key, and its team, may use allows its dated snapshots too. */
function mayUse({ models, teamModels }: Principal, model: string): boolean {
  return includesModel(models, model) && includesModel(teamModels, model);
}

const END_USER_CHARACTERS_MAX = 256;

/** Postgres' texts hold neither NUL nor half a surrogate pair. */
function endUserOf(name: string | undefined): string | null {
  if (name === undefined || name === '') return null;
  return name.slice(0, END_USER_CHARACTERS_MAX).toWellFormed().replaceAll('\0', '\ufffd');
}
