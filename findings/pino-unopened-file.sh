#!/usr/bin/env bash
# A log file that cannot be opened ends a process that uses pino, though it listens for the stream's errors.
#
# Seen with pino 10.4.0 and its stream sonic-boom 4.2.1, on Node 20 and 24. That the file cannot be opened is an event `error`;
# who listens for it expects to go on without a log. Two other places throw where no caller can catch it:
#   periodicFlush   its timer writes what was logged meanwhile to the descriptor -1 (ERR_OUT_OF_RANGE): the process ends at once
#   the end         pino's own hook on `exit` flushes the stream ("sonic boom is not ready yet"): a run that went well ends with
#                   a failing exit code and a stack trace
#
# What works: a stream made by sonic-boom itself, of which nothing hangs on `exit`, and a timer of one's own that flushes only
# after its event `ready`, as the timer of our src/telemetry/log.ts does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"name": "example", "version": "1.0.0", "type": "module"}' >package.json
npm install --no-audit --no-fund --silent pino@10.4.0 sonic-boom@4.2.1

cat >look.js <<'JS'
import pino from 'pino';
import SonicBoom from 'sonic-boom';

const [, , kind, periodicFlush] = process.argv;
const options = { dest: './no-such-folder/log', minLength: 4096, sync: false, periodicFlush: Number(periodicFlush) };
const stream = kind === 'pino' ? pino.destination(options) : new SonicBoom(options);
stream.on('error', () => {});
pino(stream).info('a line');
setTimeout(() => console.log('did its work'), 1000);
JS
look() {
  local seen code=0
  seen=$(node look.js "$1" "$2" 2>errors) || code=$?
  seen="${seen:-ended before its work was done}, exit code $([ "$code" = 0 ] && echo 0 || echo not 0)"
  echo "$1, periodicFlush $2: $seen $(grep -oE 'ERR_OUT_OF_RANGE|sonic boom is not ready yet' errors | sort -u | tr '\n' ' ')"
  [ "$seen" = "$3" ] || { echo "  CHANGED: this finding says $3"; exit 1; }
}
look pino 0 'did its work, exit code not 0'
look pino 100 'ended before its work was done, exit code not 0'
look sonic-boom 0 'did its work, exit code 0'
look sonic-boom 100 'ended before its work was done, exit code not 0'
