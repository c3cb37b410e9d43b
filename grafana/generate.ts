/** `npm run dashboards`: writes dashboards/NAME.json. A test holds the files equal to this. */
import { writeFileSync } from 'node:fs';
import { DASHBOARDS, dashboardText } from './dashboards.ts';

for (const [name, dashboard] of Object.entries(DASHBOARDS)) {
  writeFileSync(new URL(`dashboards/${name}.json`, import.meta.url), dashboardText(dashboard));
}
