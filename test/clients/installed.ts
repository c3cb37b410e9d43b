/** Access to the packages that `install.ts` put beside the repository: their types are not here, and each file says what it uses. */
import { pathToFileURL } from 'node:url';
import { inject } from 'vitest';

/** Returns the modules by the names of `install.ts`. */
export async function installed<Modules>(): Promise<Modules> {
  return (await import(pathToFileURL(inject('clients').entry).href)) as Modules;
}
