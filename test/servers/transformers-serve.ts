/** Hugging Face's `transformers serve`, on PyTorch: a download of 3 GB. */
import { join } from 'node:path';
import { installPython, type ServerKind } from './kind.ts';

export const transformersServe: ServerKind = {
  name: 'transformers-serve',
  pins: ['transformers[serving]==5.24.0', 'torch==2.15.0'],
  install: (home) => installPython(home, transformersServe.pins),
  command: (home, model, port) => ({
    program: join(home, 'bin/transformers'),
    args: ['serve', '--host', '127.0.0.1', '--port', String(port), '--device', 'cpu'],
    env: { HF_HUB_OFFLINE: '1', HF_HOME: join(model, 'hub'), OMP_NUM_THREADS: '1' },
  }),
  readyPath: '/health',
  modelName: (model) => model,
  settings: {},
  habits: {
    limits: { 'chat.completions': 'kept', completions: 'kept', responses: 'kept' },
    limitFields: ['max_tokens', 'max_completion_tokens'],
    usageInStreams: 'last chunk',
    hasUsageUnasked: true,
    streamsUnasked: true,
    choices: 1,
    overlong: [200, 200],
    wrongType: 500,
    structured: false,
  },
};
