/**
 * Panels, each with the unit of what it shows. Owns: their looks. A dashboard lays them out in rows (layout.ts).
 * Grafana drops a wrong unit silently, so units are only the SDK's own names and suffixes defined here.
 */
import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BarGaugeDisplayMode,
  BigValueGraphMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type GridPos,
  type Panel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  PanelBuilder as Heatmap,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { POSTGRES, PROMETHEUS, type Query } from './queries.ts';

export const UNITS = {
  usd: units.Dollars,
  usdPerHour: 'suffix: $/h',
  share: units.PercentUnit,
  seconds: units.Seconds,
  days: units.Days,
  count: units.Short,
  calls: 'suffix: calls',
  perSecond: units.CountsPerSecond,
  requestsPerSecond: units.RequestsPerSecond,
  tokens: 'suffix: tokens',
  tokensPerSecond: 'suffix: tokens/s',
  bytes: units.BytesIEC,
  moment: units.DateTimeFromNow,
  text: units.String,
} as const;
export type Unit = keyof typeof UNITS;

/** What every kind of panel has, and its builder understands. */
interface AnyPanel extends Builder<Panel> {
  id(id: number): this;
  title(title: string): this;
  description(description: string): this;
  gridPos(place: GridPos): this;
  unit(unit: string): this;
  datasource(datasource: typeof PROMETHEUS): this;
  withTarget(target: ReturnType<Query>): this;
}

export interface PanelSpec {
  title: string;
  /** One line that explains the title. */
  description: string;
  unit: Unit;
  from: 'prometheus' | 'postgres';
  queries: readonly Query[];
}

/** A panel that waits for its place. */
export type Placed = (id: number, place: GridPos) => AnyPanel;

function placed(make: () => AnyPanel, spec: PanelSpec): Placed {
  return (id, place) => {
    const panel = make()
      .id(id)
      .gridPos(place)
      .title(spec.title)
      .description(spec.description)
      .unit(UNITS[spec.unit])
      .datasource(spec.from === 'prometheus' ? PROMETHEUS : POSTGRES);
    for (const [index, query] of spec.queries.entries()) {
      panel.withTarget(query(String.fromCharCode(65 + index)));
    }
    return panel;
  };
}

const lastValue = () => new ReduceDataOptionsBuilder().calcs(['lastNotNull']);

/** Colours by value: `[value, colour]`, the first for all below the second. */
type Steps = readonly (readonly [number | null, string])[];

function thresholds(steps: Steps): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

const PLAIN: Steps = [[null, 'text']];

/** One number. */
export function stat(spec: PanelSpec & { steps?: Steps }): Placed {
  const make = () =>
    new Stat()
      .reduceOptions(lastValue())
      .graphMode(BigValueGraphMode.None)
      .thresholds(thresholds(spec.steps ?? PLAIN));
  return placed(make, spec);
}

/** A bar a row: how full each is. */
export function gauges(spec: PanelSpec & { steps: Steps; max?: number }): Placed {
  const make = () => {
    const panel = new BarGauge()
      .reduceOptions(lastValue())
      .displayMode(BarGaugeDisplayMode.Gradient)
      .orientation(VizOrientation.Horizontal)
      .thresholds(thresholds(spec.steps))
      .min(0);
    return spec.max === undefined ? panel : panel.max(spec.max);
  };
  return placed(make, spec);
}

/** Lines over time, or stacked areas, or stacked bars where each value stands for an interval. */
export function series(spec: PanelSpec & { look?: 'lines' | 'areas' | 'bars' }): Placed {
  const make = () => {
    const panel = new TimeSeries()
      .min(0)
      .lineWidth(1)
      .fillOpacity(spec.look === 'bars' ? 80 : spec.look === 'areas' ? 30 : 0)
      .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
      .legend(
        new VizLegendOptionsBuilder()
          .displayMode(LegendDisplayMode.List)
          .placement(LegendPlacement.Bottom)
          .showLegend(true),
      );
    if (spec.look === 'bars') panel.drawStyle(GraphDrawStyle.Bars);
    if (spec.look === 'bars' || spec.look === 'areas') {
      panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
    }
    return panel;
  };
  return placed(make, spec);
}

/** Where values lie over time, from a histogram's buckets; the unit is the vertical axis's. */
export function heatmap(spec: PanelSpec): Placed {
  const make = () =>
    new Heatmap()
      .yAxis(new YAxisConfigBuilder().unit(UNITS[spec.unit]))
      .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme('Oranges').steps(32));
  return placed(make, spec);
}

/** Rows; columns that are not of the panel's unit are named. */
export function table(spec: PanelSpec & { columns: Record<string, Unit>; bars?: readonly string[] }): Placed {
  const make = () => {
    const panel = new Table();
    for (const [name, unit] of Object.entries(spec.columns)) {
      const bar = spec.bars?.includes(name);
      panel.overrideByName(name, [
        { id: 'unit', value: UNITS[unit] },
        ...(bar
          ? [
              { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'gradient' } },
              { id: 'max', value: 1 },
            ]
          : []),
      ]);
    }
    return panel;
  };
  return placed(make, spec);
}
