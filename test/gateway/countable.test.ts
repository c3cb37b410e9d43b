/** What a strict limit is to count and cannot: it is refused, and named. */
import { describe, expect, it } from 'vitest';
import type { CallKind } from '../../src/domain/budget.ts';
import { isApiError } from '../../src/domain/errors.ts';
import { asId } from '../../src/domain/ids.ts';
import type { BatchTerms } from '../../src/domain/job-terms.ts';
import type { Limit } from '../../src/domain/limit.ts';
import { whyNotCounted, whyNotJob } from '../../src/gateway/countable.ts';
import { countedModel } from '../../src/gateway/stages/parse.ts';
import { findRoute, readRequest } from '../../src/openai/request.ts';
import { accountOf, limitOf } from '../support/accounts.ts';

const TEAM = asId<Limit['teamId']>('team');
const USERS = { type: 'user', teamId: TEAM, id: null } as const;
const NOBODY: Omit<CallKind, 'model'> = { endUser: null, tags: null };

function asked(path: string, body: object) {
  const request = readRequest(findRoute('POST', `/v1${path}`)!, Buffer.from(JSON.stringify(body)));
  if (isApiError(request)) throw new Error(request.message);
  return request;
}

function why(path: string, body: object, changes: Partial<Limit>, kind: Omit<CallKind, 'model'> = NOBODY) {
  const request = asked(path, body);
  const account = accountOf({ limits: [limitOf('limit', '1.00', changes)] });
  return whyNotCounted(account, request.operation, { ...kind, model: countedModel(request) });
}

describe('what is billed by no model', () => {
  it.each([
    ['/containers', { name: 'c' }, 'container'],
    ['/vector_stores', {}, 'vector_store'],
    ['/vector_stores/vs_1/files', { file_id: 'file-1' }, 'vector_store'],
  ])('%s counts by the name of its price, and for its end user', (path, body, name) => {
    expect(countedModel(asked(path, body))).toBe(name);
    expect(why(path, body, { subject: USERS })?.code).toBe('missing_end_user');
    expect(why(path, body, { subject: USERS, models: [name] })?.code).toBe('missing_end_user');
    expect(why(path, body, { subject: USERS }, { ...NOBODY, endUser: 'eve' })).toBeNull();
    for (const passes of [{ models: ['gpt-5-mini'] }, { enforcement: 'soft' as const }])
      expect(why(path, body, { subject: USERS, ...passes })).toBeNull();
  });

  it('is called by no name that its client makes up', () => {
    expect(countedModel(asked('/containers', { name: 'c', model: 'gpt-5-nano' }))).toBe('container');
  });
});

describe('a response that makes images', () => {
  const tools = [{ type: 'image_generation', model: 'gpt-image-1.5' }];
  const body = { model: 'gpt-5-mini', input: 'a fox', tools };
  const whyNot = (changes: Partial<Limit>, kind = NOBODY) => why('/responses', body, changes, kind);

  it('is refused where a strict limit counts the model of the images alone', () => {
    const models = ['gpt-image-1.5'];
    expect(whyNot({ models, name: 'pictures' })).toMatchObject({
      ...{ code: 'unbounded_request', param: 'tools[0].model' },
      details: { limit_id: 'limit', limit_name: 'pictures' },
    });
    expect(whyNot({ models, meter: 'requests' })).toMatchObject({ details: { limit_id: 'limit' } });
    expect(whyNot({ models, subject: USERS })?.code).toBe('missing_end_user');
    const subject = { type: 'tag', name: 'project', value: null } as const;
    expect(whyNot({ models, subject })).toBeNull();
    expect(whyNot({ models, subject }, { endUser: null, tags: ['project=a'] })?.code).toBe(
      'unbounded_request',
    );
  });

  it('passes where it is counted whole, or nothing strict counts its images', () => {
    for (const models of [['gpt-image-1.5', 'gpt-5-mini'], ['gpt-5-mini'], ['gpt-image-2'], null])
      expect(whyNot({ models })).toBeNull();
    expect(whyNot({ models: ['gpt-image-1.5'], enforcement: 'soft' })).toBeNull();
  });
});

describe('a job of several models', () => {
  const terms = (...models: string[]): BatchTerms => ({
    ...{ kind: 'batch', lines: 2 },
    prices: Object.fromEntries(models.map((model) => [model, {} as BatchTerms['prices'][string]])),
  });
  const several = { terms: terms('gpt-5', 'gpt-5-mini'), model: '' };

  it('is refused where a strict limit counts one of them, and under rules that have changed meanwhile', () => {
    const limits = [limitOf('limit', '1.00', { models: ['gpt-5'] })];
    const account = accountOf({ limits });
    expect(whyNotJob(account, NOBODY, several)).toMatchObject({
      ...{ code: 'unbounded_request', param: 'input_file_id', details: { limit_id: 'limit' } },
    });
    expect(whyNotJob(account, NOBODY, { terms: terms('gpt-5'), model: 'gpt-5' })).toBeNull();
    for (const changes of [{}, { models: null }, { enforcement: 'soft' as const }, { models: ['o3'] }]) {
      const counted = limitOf('limit', '1.00', { models: ['gpt-5'], ...changes });
      const isRefused = whyNotJob(accountOf({ limits: [counted] }), NOBODY, several) !== null;
      expect([changes, isRefused]).toEqual([changes, Object.keys(changes).length === 0]);
    }
    expect(whyNotJob(account, NOBODY, null)).toBeNull();
    for (const lists of [
      { models: ['gpt-5'], teamModels: null },
      { models: null, teamModels: ['gpt-5'] },
    ]) {
      const { principal } = accountOf();
      const narrow = accountOf({ principal: { ...principal, ...lists } });
      expect(whyNotJob(narrow, NOBODY, several)?.code).toBe('model_not_allowed');
    }
  });
});
