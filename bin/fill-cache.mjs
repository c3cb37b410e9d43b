/**
 * Fills the cache of compiled code (loading.mjs): loads what a gateway loads, starts nothing, and ends. Run by hand, as in
 * the making of an image, it needs the flags of the gateway (heap.mjs), as the Dockerfile has them.
 */
import module from 'node:module';
import { useCache } from './loading.mjs';

if (process.env.NODE_COMPILE_CACHE === undefined) useCache();
else {
  for (const name of [
    'main',
    'main/estimate/run',
    'main/serve',
    'main/start',
    'main/supervisor',
    'main/worker',
  ]) {
    await import(`../src/${name}.ts`);
  }
  // The largest module of all: compiling it takes as much memory as an estimate.
  await import('gpt-tokenizer/encoding/o200k_base');
  module.flushCompileCache();
}
