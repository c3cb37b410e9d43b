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

  it('sends on what an operation documents of its query, and drops the rest', () => {
    expect(findRoute('GET', '/v1/files?purpose=batch&x=file-2&limit=3')?.path).toBe(
      '/files?purpose=batch&limit=3',
    );
    expect(findRoute('GET', '/v1/responses/resp_1?include%5B%5D=a.b&include[]=c')?.path).toBe(
      '/responses/resp_1?include%5B%5D=a.b&include%5B%5D=c',
    );
    expect(findRoute('GET', '/v1/files/file-1?after=x')?.path).toBe('/files/file-1');
    expect(findRoute('GET', `/v1/files?purpose=${'x'.repeat(5000)}`)).toBeNull();
  });

  it('knows which objects a path names, and which is the cursor of a list', () => {
    expect(findRoute('GET', '/v1/vector_stores/vs_1/files/file-1')?.objects).toEqual([
      { kind: 'vector_store', id: 'vs_1', param: 'vector_store_id' },
      { kind: 'file', id: 'file-1', param: 'file_id' },
    ]);
    expect(findRoute('GET', '/v1/files?after=file-1')?.objects).toEqual([
      { kind: 'file', id: 'file-1', param: 'after' },
    ]);
    expect(findRoute('GET', '/v1/models/gpt-5')?.objects).toBeNull();
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
    ['POST', '/v1/models'],
    ['PUT', '/v1/chat/completions'],
    ['GET', '/v1/models/'],
    ['GET', '/v1/models/..'],
    ['GET', '/v1/models/.'],
    ['GET', '/v1/models/a/permissions'],
    ['GET', '/v1/models/a%2Fb'],
    ['GET', '/v1/modelsx'],
    ['GET', '/v1/models2gpt-4o'],
    ['HEAD', '/v1/models'],
    ['POST', '/v1/models/gpt-4o'],
    ['GET', '/v1/files/file-1/content/more'],
    ['GET', '/v1/files//content'],
    ['GET', '/v1/files/..'],
    ['GET', '/v1/files/file%2F1'],
    ['GET', ''],
  ])('%s %s is no operation', (method, url) => {
    expect(findRoute(method, url)).toBeNull();
  });
});
