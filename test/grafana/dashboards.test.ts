import { readdirSync, readFileSync } from 'node:fs';
import type { GridPos, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import * as sdkUnits from '@grafana/grafana-foundation-sdk/units';
import { describe, expect, it } from 'vitest';
import { DASHBOARDS, dashboardText } from '../../grafana/dashboards.ts';
import { dashboardQueries, expandPromql, expandSql, isRow } from '../../grafana/expand.ts';
import { UNITS } from '../../grafana/panels.ts';
import { TEAM, teamIs } from '../../grafana/queries.ts';
import { METRICS } from '../../src/telemetry/names.ts';

const FOLDER = new URL('../../grafana/dashboards/', import.meta.url);
const KNOWN_UNITS = new Set<unknown>(Object.values(sdkUnits));
const isUnit = (unit: unknown) => KNOWN_UNITS.has(unit) || /^suffix: ./.test(String(unit));

function overlap(a: GridPos, b: GridPos): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

function panelsOf(name: string): Panel[] {
  return DASHBOARDS[name]!.panels!.flatMap((panel) => (isRow(panel) ? [] : [panel]));
}

it('the dashboard files are what the generator writes (npm run dashboards)', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(
    Object.keys(DASHBOARDS)
      .map((name) => `${name}.json`)
      .sort(),
  );
  for (const [name, dashboard] of Object.entries(DASHBOARDS)) {
    expect(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8'), name).toBe(dashboardText(dashboard));
  }
});

it('every unit of a panel is a name that Grafana knows', () => {
  expect(Object.values(UNITS).filter((unit) => !isUnit(unit))).toEqual([]);
  expect(isUnit('currencyDollar')).toBe(false);
});

describe.each(Object.keys(DASHBOARDS))('the dashboard %s', (name) => {
  it('has panels side by side, each with an id of its own', () => {
    const all = DASHBOARDS[name]!.panels!;
    const ids = all.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const places = all.map(({ gridPos }) => gridPos!);
    for (const [index, place] of places.entries()) {
      expect(place.x + place.w).toBeLessThanOrEqual(24);
      expect(places.slice(index + 1).filter((other) => overlap(place, other))).toEqual([]);
    }
  });

  it('has a description and a unit for each panel', () => {
    for (const { title, description, fieldConfig, targets } of panelsOf(name)) {
      expect(description, title).toMatch(/^[A-Z0-9].*\.$/);
      expect(isUnit(fieldConfig?.defaults?.unit), `${title}: ${fieldConfig?.defaults?.unit}`).toBe(true);
      const columns = (fieldConfig?.overrides ?? []).map(({ matcher, properties }) => [
        matcher.options,
        properties.find(({ id }) => id === 'unit')?.value,
      ]);
      expect(
        columns.filter(([, unit]) => !isUnit(unit)),
        title,
      ).toEqual([]);
      const refIds = (targets as unknown as { refId: string }[]).map(({ refId }) => refId);
      expect(new Set(refIds).size, title).toBe(refIds.length);
      expect(refIds.length, title).toBeGreaterThan(0);
    }
  });

  it('can be narrowed to teams and models, and marks changes of budgets', () => {
    expect(DASHBOARDS[name]!.templating!.list!.map((variable) => variable.name)).toEqual(['team', 'model']);
    expect(DASHBOARDS[name]!.annotations!.list).toHaveLength(1);
  });
});

it('dashboards query only metrics that Tollgate exposes', () => {
  const histograms = Object.entries(METRICS).filter(([, { type }]) => type === 'histogram');
  const known = new Set([
    ...Object.keys(METRICS),
    ...histograms.flatMap(([name]) => [`${name}_bucket`, `${name}_sum`, `${name}_count`]),
  ]);
  for (const { name, language, text } of dashboardQueries()) {
    if (language !== 'promql') continue;
    const asked = text.match(/(?<![\w:])tollgate_\w+(?![\w:])/g) ?? [];
    expect(
      asked.filter((metric) => !known.has(metric)),
      name,
    ).toEqual([]);
  }
});

describe('the expansion of a query', () => {
  const time = { from: new Date('2026-11-01T00:00:00Z'), to: new Date('2026-11-01T01:00:00Z') };

  it('for all, for one, and for names with quotes', () => {
    const promql = `x{${TEAM}}[$__range]`;
    expect(expandPromql(promql, time)).toBe('x{team=~".*"}[3600s]');
    expect(expandPromql(promql, { ...time, variables: { team: ['a.b', 'c'] } })).toBe(
      'x{team=~"(a\\\\.b|c)"}[3600s]',
    );
    expect(expandSql(teamIs('t'), { ...time, variables: { team: ["o'hara", 'c'] } })).toBe(
      "($v$o'hara|c$v$ = '.*' or t = any(string_to_array($v$o'hara|c$v$, '|')))",
    );
  });

  it('leaves no variable or macro of Grafana', () => {
    expect(() => expandSql('select $__unknown', time)).toThrow('$__unknown');
    expect(() => expandPromql('x[$__interval_ms]', time)).toThrow('$__interval_ms');
  });
});
