/**
 * Mends a fault of the `postgres` driver (3.4.9) while it is loaded; docs/decisions/0008 tells why here and not elsewhere.
 * The driver gathers what it writes until the end of the loop's turn. When the connection closes before that, the write
 * still comes and ends the process (its socket is null), or it is called off and the connection never writes again. When
 * it closes while the driver asks for the types of arrays, which it does once for each connection and for nobody, that
 * question's failure ends the process as well; the next connection asks anew.
 */
import { registerHooks } from 'node:module';

const DRIVER = '/node_modules/postgres/src/connection.js';

/** What the driver says, how often, and what it should say. */
const MENDS = [
  {
    found: /^ {4}clearImmediate\(nextWriteTimer\)$/gm,
    times: 2,
    mended: '    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null',
  },
  {
    found: /^ {2}function nextWrite\(fn\) \{$/gm,
    times: 1,
    mended: `  function nextWrite(fn) {
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
    mended: '        return fetchArrayTypes().catch(() => {})',
  },
];

/** @throws when the driver is not the one that these mends were made for: then they must be looked at again. */
function mend(source) {
  return MENDS.reduce((text, { found, times, mended }) => {
    if (text.match(found)?.length !== times)
      throw new Error(`the postgres driver has changed: ${DRIVER} no longer says ${found}`);
    return text.replace(found, mended);
  }, source);
}

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    return url.endsWith(DRIVER) ? { ...loaded, source: mend(String(loaded.source)) } : loaded;
  },
});
