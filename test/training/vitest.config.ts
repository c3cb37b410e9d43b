import { defineConfig } from 'vitest/config';

/**
 * `npm run test:training`: a thousand training files through the gateway, of which `npm test` takes some. Ten minutes on a quiet machine; with
 * `TRAINING_FIRST=200 TRAINING_FILES=100` so many from that one on.
 */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    include: ['test/e2e/training-files.test.ts'],
    env: { TRAINING_FILES: process.env.TRAINING_FILES ?? '1000' },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
