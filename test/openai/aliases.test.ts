import { describe, expect, it } from 'vitest';
import { findAlias, isAlias, reasonAgainst } from '../../src/openai/operations/aliases.ts';

describe('findAlias', () => {
  it.each([
    ['POST', '//v1/chat/completions', '/chat/completions', null],
    ['POST', '/v1//chat//completions', '/chat/completions', null],
    ['POST', '/v1/chat/completions/', '/chat/completions', null],
    ['POST', '/v1/v1/responses', '/responses', null],
    ['POST', '/responses', '/responses', null],
    ['GET', '/models/gpt-4o?x=1', '/models/gpt-4o?x=1', 'gpt-4o'],
    ['POST', '/openai/v1/embeddings?api-version=preview', '/embeddings', null],
    ['GET', '/openai/models?api-version=2024-10-21&limit=1', '/models?&limit=1', null],
    ['POST', '/openai/responses?api-version=2025-03-01-preview', '/responses', null],
    [
      'POST',
      '/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
      '/chat/completions',
      'gpt-4o',
    ],
    ['POST', '/openai/deployments/org%2Fmodel/completions', '/completions', 'org/model'],
  ])('%s %s is %s', (method, url, path, model) => {
    expect(findAlias(method, url)).toMatchObject({ path, model });
    expect(isAlias(method, url)).toBe(true);
  });

  it.each([
    ['POST', '/v1/chat%2fcompletions'],
    ['POST', '/v1/chat/../responses'],
    ['POST', '/V1/chat/completions'],
    ['POST', '/openai/deployments/%zz/chat/completions'],
    ['POST', '/openai/deployments/a/b/chat/completions'],
    ['GET', '/openai/deployments/a/models/b'],
    ['POST', '/openai/deployments//chat/completions'],
    ['GET', '/metrics'],
    ['GET', '/console/'],
    ['POST', '/admin/v1/teams'],
    ['GET', '/'],
    ['GET', ''],
  ])('%s %s is no operation', (method, url) => {
    expect(findAlias(method, url)).toBeNull();
  });

  it('takes what is plainly meant for the API, so that its errors have the shape of the API', () => {
    expect(isAlias('POST', '/openai/deployments/a/images/generations')).toBe(true);
    expect(isAlias('OPTIONS', '/chat/completions')).toBe(true);
    expect(isAlias('GET', '/console/')).toBe(false);
  });
});

describe('reasonAgainst', () => {
  it.each([
    ['/v1/realtime/client_secrets', /past this gateway/],
    ['/v1/chatkit/sessions', /past this gateway/],
    ['/v1/assistants/asst_1', /shut down/],
    ['/v1/threads', /shut down/],
    ['/v1/videos', /shut down/],
    ['/v1/edits', /gone/],
    ['/v1/organization/costs?start_time=1', /no virtual key may/],
    ['/v1/messages', /Anthropic/],
    ['/v1/alpha/search', /no published operation/],
    ['/openai/v1/decisions/other', /no limit of output/],
    ['//v1/files/other/path/here', /not an operation/],
    ['/v1/chat%2fcompletions', /without escapes/],
    ['/v1/chat/../responses', /without escapes/],
    ['/v1/toString', /not an operation/],
  ])('%s is told why it is not forwarded', (url, reason) => {
    expect(reasonAgainst(url)).toMatch(reason);
  });
});
