/** `npm run build:coverage`: writes COVERAGE.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { coveragePage } from '../src/openai/operations/coverage.ts';

const suite = readFileSync(new URL('sdk-suite.txt', import.meta.url), 'utf8');
writeFileSync(new URL('COVERAGE.md', import.meta.url), coveragePage(suite));
