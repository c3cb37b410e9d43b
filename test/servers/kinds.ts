/** The servers of `npm run test:servers`. */
import type { ServerKind } from './kind.ts';
import { llamaServer } from './llama-server.ts';
import { mlxLm } from './mlx-lm.ts';
import { transformersServe } from './transformers-serve.ts';

export const KINDS: readonly ServerKind[] = [llamaServer, transformersServe, mlxLm];
