/** A process with an embedded database: says `started`, then the number of each row that was acknowledged. */
import { closeClient, openClient } from '../../src/store/database.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';

const server = await startEmbedded({ dataDir: process.argv[2]! });
const sql = openClient(server.connection, 1);
await sql`create table if not exists acknowledged (number int primary key)`;
process.stdout.write('started\n');
let stopping = false;
process.once('SIGTERM', () => {
  stopping = true;
});
const [last] = await sql<{ number: number }[]>`select coalesce(max(number), 0) as number from acknowledged`;
for (let number = last!.number + 1; !stopping; number++) {
  await sql`insert into acknowledged values (${number})`;
  process.stdout.write(`${number}\n`);
}
await closeClient(sql);
await server.stop();
