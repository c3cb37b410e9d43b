/** Apple's `mlx_lm.server`, on the processor alone: the smallest to install. */
import { join } from 'node:path';
import { installPython, type ServerKind } from './kind.ts';

export const mlxLm: ServerKind = {
  name: 'mlx-lm',
  pins: ['mlx-lm==0.32.2', 'mlx[cpu]==0.32.4', 'transformers==5.24.0'],
  install: (home) => installPython(home, mlxLm.pins),
  command: (home, model, port) => ({
    program: join(home, 'bin/python'),
    args: [
      ...['-m', 'mlx_lm', 'server', '--model', model],
      ...['--host', '127.0.0.1', '--port', String(port)],
    ],
    // Without: it would compile parts of the model with the C++ compiler of this machine.
    env: { HF_HUB_OFFLINE: '1', HF_HOME: join(model, 'hub'), MLX_DISABLE_COMPILE: '1' },
  }),
  readyPath: '/health',
  modelName: (model) => model,
  settings: { has_responses: false },
  habits: {
    limits: { 'chat.completions': 'kept', completions: 'kept' },
    limitFields: ['max_tokens', 'max_completion_tokens'],
    usageInStreams: 'own chunk',
    hasUsageUnasked: false,
    streamsUnasked: false,
    choices: 1,
    overlong: [200, 200],
    wrongType: 400,
    structured: false,
  },
};
