#!/usr/bin/env bash
# npm sbom --omit dev leaves out packages that run in production.
#
# Seen with npm 12.2.2 (the newest) and 11.19.1. A package that the project depends on is missing from the bill of
# materials as soon as any development tool depends on it too, directly or through others: --omit removes every package
# that can be reached from an omitted one, not those that can be reached only from there. `npm ls --omit dev` and
# `npm ci --omit dev` keep it. And where the tools are not installed (`npm ci --omit dev`), `npm sbom --omit dev` ends
# with ESBOMPROBLEMS unless it is told --package-lock-only.
#
# Here: `ms` is a dependency, `debug` a development dependency that needs `ms`. Expected in the bill: ms. Seen: nothing.
# What works: take devDependencies out of the package.json beside the installed node_modules, then `npm sbom` alone, as
# our Dockerfile does. In Tollgate's own case 3 of 35 packages were missing, zod among them.
# Known to npm: npm/cli issue 7909, open since November 2024.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}, "devDependencies": {"debug": "4.4.3"}}' >package.json

changed=0
# Prints what was seen, and remembers when it is not what this finding says.
see() { # what, expected, seen
  echo "  $1: ${3:-nothing}"
  if [ "$2" != "$3" ]; then
    echo "    CHANGED: this finding says ${2:-nothing}"
    changed=1
  fi
}
components() {
  node -e 'let text = ""; process.stdin.on("data", (bytes) => { text += bytes; }).on("end", () => {
    console.log(JSON.parse(text).components.map(({ name }) => name).sort().join(" ")); });'
}

for version in 11.19.1 12.2.2; do
  npm() { npx --yes "npm@$version" "$@" --no-audit --no-fund --no-update-notifier 2>/dev/null; }
  echo "npm $version"
  rm -rf node_modules package-lock.json
  npm install >/dev/null
  see 'npm ls --omit dev' ms "$(npm ls --omit dev --parseable --all | sed -n 's/.*node_modules.//p' | xargs)"
  see 'npm sbom' 'debug ms' "$(npm sbom --sbom-format cyclonedx | components)"
  see 'npm sbom --omit dev' '' "$(npm sbom --omit dev --sbom-format cyclonedx | components)"
  see 'npm sbom --omit dev --package-lock-only' '' \
    "$(npm sbom --omit dev --package-lock-only --sbom-format cyclonedx | components)"
done
exit "$changed"
