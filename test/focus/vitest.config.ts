import { defineConfig } from 'vitest/config';

/** `npm run test:focus`: the exports before focus-validator, which pip installs. Outside `npm test`, which needs no Python. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts', 'test/focus/install.ts'],
    include: ['test/focus/*.focus.ts'],
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
