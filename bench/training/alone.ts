/** gpt-tokenizer alone on the lines of a file: what counting costs at least. Run as a process: `node alone.ts FILE`. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';

const AS_TEXT = { disallowedSpecial: new Set<string>() };

let tokens = 0;
const input = createReadStream(process.argv[2] ?? '', { highWaterMark: 256 * 1024 });
for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
  tokens += countTokens(line, AS_TEXT);
process.stdout.write(`${tokens} tokens\n`);
