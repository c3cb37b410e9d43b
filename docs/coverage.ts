/** `npm run build:coverage`: writes COVERAGE.md. */
import { writeFileSync } from 'node:fs';
import { coveragePage } from '../src/openai/operations/coverage.ts';

writeFileSync(new URL('COVERAGE.md', import.meta.url), coveragePage());
