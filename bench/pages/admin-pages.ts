/** What the console's pages ask of the admin API, on a seeded ledger. */
import { createAdmin } from '../../src/admin/admin.ts';
import { AccessLog } from '../../src/auth/access-log.ts';
import { ClientAddresses } from '../../src/auth/addresses.ts';
import { KeyCache } from '../../src/auth/keys.ts';
import { Sessions } from '../../src/auth/sessions.ts';
import type { Database } from '../../src/store/database.ts';
import { findKey } from '../../src/store/hot/catalog.ts';
import { sessionStore } from '../../src/store/sessions.ts';
import { seededTeamId } from './seed.ts';

export interface AdminPage {
  name: string;
  path: string;
  goalMs: number;
}

const GOAL_MS = 300;
const DAY_MS = 86_400_000;
/** The series of a chart; a query for these has the others as one row of each interval. */
const TOP = 'top=8';
/** No zone that shares its midnight with UTC: there whole days would do. */
const ZONE = 'time_zone=Europe/Berlin';

/** The busiest team is the seed's first. */
export function adminPages(now: Date, team = seededTeamId(1)): AdminPage[] {
  const since = (days: number) => {
    const midnightMs = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
    return `from=${new Date(midnightMs - days * DAY_MS).toISOString()}`;
  };
  const paths: Record<string, string> = {
    'overview: what was spent, what is left': `/overview?${ZONE}`,
    'overview: 30 days by team': `/usage?group_by=team&interval=day&${ZONE}&${since(30)}&${TOP}`,
    'overview: 30 days by model': `/usage?group_by=model&interval=day&${ZONE}&${since(30)}&${TOP}`,
    'overview: a day by team and hour': `/usage?group_by=team&interval=hour&${ZONE}&${since(1)}&${TOP}`,
    'overview: 12 months by model': `/usage?group_by=model&interval=month&${ZONE}&${since(365)}&${TOP}`,
    'overview: denials': `/denials?group_by=team,code&interval=total&top=12&${since(30)}`,
    'teams: list': '/teams?limit=50',
    'teams: what each spent': `/usage?group_by=team&interval=total&${since(30)}`,
    'team: balance': `/teams/${team}/balance`,
    'team: outlook': `/overview?team_id=${team}&${ZONE}`,
    'team: keys': `/keys?team_id=${team}&limit=100`,
    'team: last calls': `/events?team_id=${team}&order=desc&limit=20`,
    'team: 30 days by model': `/usage?group_by=model&interval=day&${ZONE}&${since(30)}&team_id=${team}&${TOP}`,
    'team: unknown outcomes': `/unknown?team_id=${team}&limit=50`,
    'calls: newest': '/events?order=desc&limit=50',
    'calls: of a model': '/events?order=desc&limit=50&model=gpt-4o',
    'calls: of unknown outcome': '/events?order=desc&limit=50&outcome=unknown',
    'calls: of nobody': '/events?order=desc&limit=50&end_user=nobody',
    'keys: list': '/keys?limit=50',
    'limits: list': '/limits?limit=50',
    'departments: tree': '/departments?limit=1000',
    'departments: teams': '/teams?limit=1000',
    'departments: limits': '/limits?subject_type=department&limit=1000&state=true',
    'departments: this month': `/usage?group_by=department&interval=total&${ZONE}&${since(30)}`,
    'tags: list': '/tags?limit=1000',
    'tags: limits': '/limits?subject_type=tag&limit=1000&state=true',
    'tags: 30 days, sums by value': `/usage?group_by=tag:project&interval=total&${ZONE}&${since(30)}`,
    'tags: 12 months, sums by value': `/usage?group_by=tag:project&interval=total&${ZONE}&${since(365)}`,
    'tags: 30 days of a value by day and team': `/usage?group_by=team&tag=project%3Dproject-007&interval=day&${ZONE}&${since(30)}&${TOP}`,
    'tags: 30 days of a value, by team': `/usage?group_by=team&tag=project%3Dproject-007&interval=total&${ZONE}&${since(30)}`,
    'usage: 30 days by team, every row': `/usage?group_by=team&interval=day&${ZONE}&${since(30)}`,
    'savings: 30 days': `/savings?${since(30)}`,
    'models: 30 days': `/models/report?${since(30)}`,
    'models: 30 days of a tag': `/models/report?tag=project%3Dproject-007&${since(30)}`,
    'labels: newest': '/labels?limit=50',
    'labels: by model': `/labels/report?${since(30)}`,
    'labels: calls to check': '/events?order=desc&limit=20&outcome=settled&labelled=wanted',
    'people: list': '/people?limit=50',
    'sessions: list': '/sessions?limit=50',
    'prices: all': '/prices?limit=1000&include_deleted=true',
    'audit: newest': '/audit?limit=50',
    'warnings: list': '/warnings?limit=50',
  };
  return Object.entries(paths).map(([name, path]) => ({ name, path, goalMs: GOAL_MS }));
}

/** Asks the API as the console does, without the network between. Throws what it answers beside 200. */
export function openAdmin(database: Database): (path: string) => Promise<string> {
  const adminKey = 'admin-key-of-the-bench';
  const keys = new KeyCache({ findKey: (hash) => findKey(database.sql, hash) });
  const addresses = new ClientAddresses(null);
  const log = new AccessLog({ write: async () => {}, nowMs: Date.now, onError: () => {} });
  const store = sessionStore(database);
  const app = createAdmin({
    database,
    adminKey,
    addresses,
    accessLog: log,
    sessions: new Sessions({ adminKey, keys, addresses, log, store, nowMs: Date.now }),
    nowMs: Date.now,
    settleNow: async () => {},
    defaultPlan: null,
  });
  return async (path) => {
    const response = await app.request(`/admin/v1${path}`, {
      headers: { authorization: `Bearer ${adminKey}` },
    });
    const body = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${body}`);
    return body;
  };
}
