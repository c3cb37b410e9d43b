import { describe, expect, it } from 'vitest';
import { findRoute } from '../../src/openai/request.ts';

describe('findRoute', () => {
  it.each([
    ['POST', '/v1/chat/completions', 'chat.completions', '/chat/completions'],
    ['POST', '/v1/responses', 'responses', '/responses'],
    ['POST', '/v1/embeddings', 'embeddings', '/embeddings'],
    ['POST', '/v1/completions', 'completions', '/completions'],
    ['POST', '/v1/moderations', 'moderations', '/moderations'],
    ['GET', '/v1/models', 'models.list', '/models'],
    ['GET', '/v1/models/gpt-4o-mini', 'models.retrieve', '/models/gpt-4o-mini'],
  ])('%s %s is the operation %s', (method, url, name, path) => {
    expect(findRoute(method, url)).toMatchObject({ descriptor: { name, method }, path });
  });

  it('reads the escaped colons of a fine-tuned model', () => {
    const route = findRoute('GET', '/v1/models/ft%3Agpt-4o%3aacme::id');
    expect(route).toMatchObject({ model: 'ft:gpt-4o:acme::id', path: '/models/ft:gpt-4o:acme::id' });
  });

  it('forwards a plain query on GET and drops any other', () => {
    expect(findRoute('GET', '/v1/models?limit=2&after=a')?.path).toBe('/models?limit=2&after=a');
    expect(findRoute('GET', '/v1/models?x=%0d%0a')?.path).toBe('/models');
    expect(findRoute('POST', '/v1/responses?background=true')?.path).toBe('/responses');
  });

  it.each([
    ['POST', '/v1/chat%2fcompletions'],
    ['POST', '/v1//chat/completions'],
    ['POST', '//v1/chat/completions'],
    ['POST', '/v1/chat/../responses'],
    ['POST', '/v1/chat/completions/'],
    ['POST', '/v1/chat/completions;x'],
    ['POST', '/v1/chat/completions#x'],
    ['POST', '/V1/chat/completions'],
    ['POST', 'http://host/v1/chat/completions'],
    ['POST', '/v1/images/generations'],
    ['POST', '/v1/models'],
    ['GET', '/v1/chat/completions'],
    ['GET', '/v1/models/'],
    ['GET', '/v1/models/..'],
    ['GET', '/v1/models/.'],
    ['GET', '/v1/models/a/permissions'],
    ['GET', '/v1/models/a%2Fb'],
    ['GET', '/v1/modelsx'],
    ['GET', '/v1/models2gpt-4o'],
    ['HEAD', '/v1/models'],
    ['DELETE', '/v1/models/gpt-4o'],
    ['GET', ''],
  ])('%s %s is no operation', (method, url) => {
    expect(findRoute(method, url)).toBeNull();
  });
});
