/**
 * What no limit could count. Owns: the refusal of calls that a strict limit is to count and cannot: they name no end user, or cost
 * money of several models, whose sum a limit of some of them cannot hold. Does not own: which limits touch a call (domain/budget.ts). Invariant: what a strict limit counts does not pass it by costing money elsewhere.
 */
import { type Account, type CallKind, needsEndUser, touches } from '../domain/budget.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { modelsOfTerms, type PlannedJob } from '../domain/job-terms.ts';
import type { Limit } from '../domain/limit.ts';
import { includesModel } from '../domain/price.ts';
import type { ParsedRequest } from '../openai/request.ts';

/** Returns why the limits of an account cannot count a call that costs money; null: they can. */
export function whyNotCounted(
  { limits }: Pick<Account, 'limits'>,
  { hosted }: ParsedRequest['operation'],
  kind: CallKind,
): ApiError | null {
  const images = hosted?.images ?? null;
  const names = images === null ? [kind.model] : [kind.model, images.model];
  if (kind.endUser === null && names.some((name) => needsEndUser({ limits }, name))) return missingEndUser();
  if (images === null) return null;
  const limit = limits.find(
    (each) => isOfSome(each) && touches(each, { ...kind, model: images.model }) && !touches(each, kind),
  );
  if (limit === undefined) return null;
  return cannotCount(
    limit,
    `counts the model '${images.model}', which makes the images, and not '${kind.model.slice(0, 100)}', by which this call counts: make them with /v1/images, or have it count both.`,
    `${images.param}.model`,
  );
}

/** Returns why an account may not make a job, of which only a file may say which models it asks for, or its limits cannot count it. */
export function whyNotJob(
  { principal, limits }: Pick<Account, 'principal' | 'limits'>,
  kind: Omit<CallKind, 'model'>,
  job: Pick<PlannedJob, 'terms' | 'model'> | null,
): ApiError | null {
  if (job === null) return null;
  const { terms, model } = job;
  const param = PARAMS[terms.kind];
  const names = modelsOfTerms(terms);
  const { models, teamModels } = principal;
  const other = names.find((name) => !includesModel(models, name) || !includesModel(teamModels, name));
  if (other !== undefined) {
    const message = `This key may not use the model '${other.slice(0, 100)}', which this asks for.`;
    return apiError('model_not_allowed', message, { param });
  }
  if (kind.endUser === null && names.some((name) => needsEndUser({ limits }, name))) return missingEndUser();
  if (model !== '') return null;
  const limit = limits.find(
    (each) => isOfSome(each) && names.some((name) => touches(each, { ...kind, model: name })),
  );
  if (limit === undefined) return null;
  const why = `counts some models alone, and this asks for several at once (${names.join(', ')}): send one for each model.`;
  return cannotCount(limit, why, param);
}

/** Where the models of a job stand in its request. */
const PARAMS = { fine_tuning: 'model', response: 'model', batch: 'input_file_id', eval_run: 'data_source' };

function isOfSome({ enforcement, models }: Limit): boolean {
  return enforcement === 'strict' && models !== null;
}

function cannotCount({ id, name }: Limit, why: string, param: string): ApiError {
  const named = name === null ? '' : ` ${JSON.stringify(name)}`;
  return apiError('unbounded_request', `The limit${named} ${why}`, {
    param,
    details: { limit_id: id, ...(name === null ? {} : { limit_name: name }) },
  });
}

function missingEndUser(): ApiError {
  const message =
    "A limit counts this team's end users: say whose call it is in 'safety_identifier', 'user' or the header x-tollgate-user.";
  return apiError('missing_end_user', message, { param: 'safety_identifier' });
}
