/** All dashboards by the file that provisioning reads: dashboards/NAME.json. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { budgets } from './budgets.ts';
import { operations } from './operations.ts';
import { spend } from './spend.ts';
import { traffic } from './traffic.ts';

export const DASHBOARDS: Record<string, Dashboard> = { spend, budgets, traffic, operations };

/** The file's text. */
export function dashboardText(dashboard: Dashboard): string {
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}
