/**
 * Patches the `postgres` driver (3.4.9) as Node loads it; docs/decisions/0008 says why here. Three bugs:
 * - The driver collects writes until the end of the loop's turn. When the connection closes before that, the write is sent
 *   all the same and ends the process (its socket is null), or it is cancelled and the connection never writes again.
 * - When the connection closes while the driver reads the types of arrays, which it does once per connection, the failure
 *   of that query ends the process; patched, the next connection reads them again.
 */
import { registerHooks } from 'node:module';

const DRIVER = '/node_modules/postgres/src/connection.js';

/** Lines of the driver, how often each occurs, and their replacement. */
const PATCHES = [
  {
    found: /^ {4}clearImmediate\(nextWriteTimer\)$/gm,
    times: 2,
    replacement: '    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null',
  },
  {
    found: /^ {2}function nextWrite\(fn\) \{$/gm,
    times: 1,
    replacement: `  function nextWrite(fn) {
    if (socket === null) {
      chunk = nextWriteTimer = null
      const lost = Errors.connection('CONNECTION_CLOSED', options)
      query && queryError(query, lost)
      while (sent.length)
        queryError(sent.shift(), lost)
      return false
    }`,
  },
  {
    found: /^ {8}return fetchArrayTypes\(\)$/gm,
    times: 1,
    replacement: '        return fetchArrayTypes().catch(() => {})',
  },
];

/** Returns the patched source. @throws when the driver is not the version that these patches were made for */
function patch(source) {
  return PATCHES.reduce((text, { found, times, replacement }) => {
    if (text.match(found)?.length !== times)
      throw new Error(`the postgres driver has changed: ${DRIVER} does not contain ${found}`);
    return text.replace(found, replacement);
  }, source);
}

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    return url.endsWith(DRIVER) ? { ...loaded, source: patch(String(loaded.source)) } : loaded;
  },
});
