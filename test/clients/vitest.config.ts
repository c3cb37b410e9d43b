import { defineConfig } from 'vitest/config';
import { ClientTable } from './table.ts';

/** `npm run test:clients`: real packages, installed apart, one file after the other on one machine. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts', 'test/clients/install.ts'],
    include: ['test/clients/*.clients.ts'],
    reporters: [new ClientTable()],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
