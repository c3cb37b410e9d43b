/**
 * llama.cpp's own server, b11549: the package xllamacpp has its code compiled in, and its third number is llama.cpp's build. On x86-64 it
 * wants a processor with AVX2, FMA, F16C and BMI2, and ends with SIGILL on others; it has no AVX-512. It wants Python 3.10, glibc 2.17
 * and libgomp.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPython, type ServerKind } from './kind.ts';

const SCRIPT = fileURLToPath(new URL('llama-server.py', import.meta.url));

export const llamaServer: ServerKind = {
  name: 'llama-server',
  pins: ['xllamacpp==2026.10.11549'],
  install: (home) => installPython(home, llamaServer.pins),
  command: (home, model, port) => ({
    program: join(home, 'bin/python'),
    args: [SCRIPT, join(model, 'model.gguf'), String(port)],
  }),
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
