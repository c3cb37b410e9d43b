import { defineConfig } from 'vitest/config';

/** `npm run test:servers`: real servers behind it, installed apart, one file after the other on one machine. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts', 'test/servers/install.ts'],
    include: ['test/servers/*.servers.ts'],
    reporters: ['verbose'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
