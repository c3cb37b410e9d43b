#!/usr/bin/env bash
# An afterAll that a hook or a test registers is dropped without a word: what it should have ended goes on.
#
# Seen with vitest 5.1.1. Such calls stand in helpers that make something and have it removed at the end: a folder, a server. While a
# test file is collected they work; from within beforeAll or a test they return as usual, nothing is logged, and the step never runs.
# The same holds for afterAll from within the beforeAll of a describe. (onTestFinished works within a test, and throws outside of one.)
#
# What works: one afterAll, registered when the helper is imported, that runs a list which may grow at any time, as our
# test/support/after-file.ts does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent vitest@5.1.1

cat >look.test.js <<'JS'
import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, onTestFinished, test } from 'vitest';

const ran = (what) => () => appendFileSync('ran.txt', `${what}\n`);
afterAll(ran('of the file'));
beforeAll(() => afterAll(ran('of a beforeAll')));
describe('some', () => {
  afterAll(ran('of a describe'));
  beforeAll(() => afterAll(ran('of the beforeAll of a describe')));
  test('one', () => {
    afterAll(ran('of a test'));
    onTestFinished(ran('onTestFinished of a test'));
  });
});
JS
NO_COLOR=1 npx vitest run >log.txt 2>&1 || { cat log.txt; exit 1; }
grep -iE 'warn|error|hook' log.txt && { echo '  CHANGED: this finding says that nothing is logged'; exit 1; }
sort ran.txt
printf '%s\n' 'of a describe' 'of the file' 'onTestFinished of a test' >expected.txt
cmp -s <(sort ran.txt) expected.txt || { echo '  CHANGED: this finding says that three of six run'; exit 1; }
