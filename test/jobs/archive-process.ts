/** A process that archives, to be killed: `node archive-process.ts CONNECTION FOLDER`. */
import { archiveEvents } from '../../src/jobs/archive.ts';
import { openDatabase } from '../../src/store/database.ts';

const [connection = '', folder = ''] = process.argv.slice(2);
const database = openDatabase(JSON.parse(connection), {});
process.stdout.write('begins\n');
await archiveEvents({ database, folder, keepMonths: 2 }, new AbortController().signal);
await database.close();
