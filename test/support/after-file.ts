/** What remains to be done when a test file has ended, wherever it was begun. */
import { afterAll } from 'vitest';

const steps: (() => unknown)[] = [];

/**
 * Has a step run after all tests and hooks of the file, the latest step first. Unlike vitest's `afterAll` it may be called
 * within a hook or a test: vitest drops without a word what is registered there.
 */
export function afterFile(step: () => unknown): void {
  steps.push(step);
}

// Registered when a test file imports this, before any hook of its own: hooks at the end run in the opposite order.
afterAll(async () => {
  const failures: unknown[] = [];
  for (const step of steps.splice(0).reverse()) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'steps after the file failed');
});
