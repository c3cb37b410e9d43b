#!/usr/bin/env bash
# gpt-tokenizer's cache of merged words keeps whole texts in memory, long after they were counted.
#
# Seen with gpt-tokenizer 4.0.0 and Node 24.21.0. The cache has up to 100,000 words that are no token of their own; its keys are
# what a regular expression matched in the text, and V8 makes a match of 13 characters or more a slice of that text. So each such
# word keeps the text that it was found in: 20,000 texts of 4 KB, each with one long word, leave 80 MB behind. A stream of training
# examples in Chinese, where words are long, grew to 411 MB.
#
# What works: clearMergeCache() every few megabytes, as our src/planner/count-file.ts does; setMergeCacheSize(0) counts more
# slowly where words repeat.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "private": true}' >package.json
npm install --no-audit --no-fund --silent gpt-tokenizer@4.0.0 >/dev/null

cat >measure.mjs <<'END'
import { clearMergeCache, countTokens } from 'gpt-tokenizer/encoding/o200k_base';

const heapMb = () => {
  gc();
  return Math.round(process.memoryUsage().heapUsed / 1e6);
};
/** A word of 24 letters that no other text has. */
const wordOf = (number) => [...String(number).padStart(12, '0')].map((digit) => 'qxzvkjwpyf'[digit].repeat(2)).join('');
countTokens('warm');
const before = heapMb();
const filler = 'of the and to '.repeat(290);
for (let text = 0; text < 20_000; text++) countTokens(Buffer.from(`${filler}${wordOf(text)}`).toString());
const after = heapMb();
clearMergeCache();
console.log(before, after, heapMb());
END
read -r before after cleared < <(node --expose-gc measure.mjs)
echo "gpt-tokenizer $(node -p 'require("./node_modules/gpt-tokenizer/package.json").version'), node $(node --version)"
echo "  heap before: $before MB; after 20,000 texts that nothing refers to: $after MB; with the cache cleared: $cleared MB"
if ((after - before < 40 || cleared - before > 20)); then
  echo '  CHANGED: this finding says that the cache keeps the texts'
  exit 1
fi
