/** Errors as the API writes them: the status and the `error` object of the body. */

export interface ApiError {
  status: number;
  message: string;
  type: string;
  param: string | null;
  code: string | null;
}

/** A request that the API cannot accept: 400 by default. */
export function invalidRequest(
  message: string,
  param: string | null = null,
  code: string | null = null,
  status = 400,
): ApiError {
  return { status, message, type: 'invalid_request_error', param, code };
}

export function isApiError(value: object): value is ApiError {
  return 'status' in value && 'message' in value;
}

export function errorBody({ message, type, param, code }: ApiError): string {
  return `${JSON.stringify({ error: { message, type, param, code } }, null, 2)}\n`;
}

export const INVALID_JSON = invalidRequest(
  'We could not parse the JSON body of your request. (HINT: This likely means you aren’t using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)',
);
export const BODY_TOO_LARGE = invalidRequest('Request body is too large.', null, null, 413);
export const NO_KEY = invalidRequest(
  "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
  null,
  null,
  401,
);
export const WRONG_KEY = invalidRequest('Incorrect API key provided.', null, 'invalid_api_key', 401);

/** The error of an ordinary key where an admin key is needed. */
export const ADMIN_KEY_WANTED = invalidRequest(
  'You have insufficient permissions for this operation. Missing scopes: api.usage.read.',
  null,
  null,
  403,
);

export function unknownUrl(method: string, path: string): ApiError {
  return invalidRequest(`Invalid URL (${method} ${path})`, null, null, 404);
}

export function unknownModel(name: string): ApiError {
  const message = `The model \`${name}\` does not exist or you do not have access to it.`;
  return invalidRequest(message, null, 'model_not_found', 404);
}

/** For what the real API offers and bills in ways that this simulator cannot put on an invoice. */
export function notSimulated(param: string): ApiError {
  return invalidRequest(
    `The simulated API does not bill '${param}', so it returns an error.`,
    param,
    'not_simulated',
  );
}
