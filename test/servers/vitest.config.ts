import { defineConfig } from 'vitest/config';

/** One step of `npm run test:servers` (main.ts), or all of them in one process. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts', 'test/servers/install.ts'],
    include: ['test/servers/*.servers.ts'],
    reporters: ['verbose'],
    fileParallelism: false,
    testTimeout: 300_000,
    // Two servers start one after the other, each within its own limit.
    hookTimeout: 900_000,
  },
});
