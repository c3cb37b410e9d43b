#!/usr/bin/env bash
# Node parses a package's package.json once for each of its ES modules, so a large one makes the import slow and large.
#
# Seen with Node 24.21.0 and drizzle-orm 0.45.4, whose package.json has 179 KB: an "exports" with an entry for each of its
# modules. `import('drizzle-orm')` loads a hundred small files. With the package.json as published that takes 0.32 s of CPU and 118 MB
# of memory (55 MB where --max-semi-space-size=16 lets garbage be found earlier); cut down to the one entry that is needed,
# 0.05 s and 5 MB.
# The profile shows JSON.parse in node:internal/modules/package_json_reader: to tell the format of a .js file the loader asks
# for the scope's package.json, of which the text is cached but "exports" is parsed anew, each time. CommonJS does not ask.
# Related: nodejs/node pull request 60425 (merged in autumn 2025) caches more of it; 24.21.0 still shows this.
#
# What works: a resolve hook (module.registerHooks) that returns the format itself for relative imports inside such a
# package, with shortCircuit, as our bin/loading.mjs does; or the CommonJS build.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "private": true}' >package.json
npm install --no-audit --no-fund --silent --legacy-peer-deps drizzle-orm@0.45.4 >/dev/null

cat >measure.mjs <<'END'
import { readFileSync } from 'node:fs';
const anonymous = () => Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
const [before, start] = [anonymous(), process.cpuUsage()];
await import('drizzle-orm');
const { user, system } = process.cpuUsage(start);
console.log(Math.round((user + system) / 1000), Math.round(anonymous() - before));
END
# The least of five: whatever else the machine does only adds.
measure() {
  for _ in 1 2 3 4 5; do node measure.mjs; done | sort -n | head -1
}
echo "node $(node --version), package.json of $(wc -c <node_modules/drizzle-orm/package.json) bytes"
read -r cpu_large memory_large < <(measure)
echo "  as published: $cpu_large ms of CPU, $memory_large MB"
node -e '
  const { readFileSync, writeFileSync } = require("node:fs");
  const path = "node_modules/drizzle-orm/package.json";
  const { name, version, type, exports } = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ name, version, type, exports: { ".": exports["."] } }));'
read -r cpu_small memory_small < <(measure)
echo "  cut down:     $cpu_small ms of CPU, $memory_small MB"
if ((cpu_large < 2 * cpu_small || memory_large < 2 * memory_small)); then
  echo '  CHANGED: this finding says that the large package.json costs more than twice as much'
  exit 1
fi
