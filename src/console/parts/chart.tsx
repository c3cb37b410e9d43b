/** A stacked bar chart on a canvas, hidden from screen readers: they get the table beside it. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { useIsDark } from '../shell/theme.ts';
import { heights, type Stack } from './stack.ts';

interface ChartProps {
  stack: Stack;
  formatTime: (ms: number) => string;
  /** Called with the bucket under the pointer; null: none. */
  onPoint: (index: number | null) => void;
  /** Labels of heights that are not money. */
  formatValue?: ((value: number) => string) | undefined;
}

const HEIGHT = 248;
export const COLOURS = 8;

export function Chart({ stack, formatTime, onPoint, formatValue }: ChartProps) {
  const container = useRef<HTMLDivElement>(null);
  const dark = useIsDark();
  // A change of theme draws it again: colours are read from the page.
  useEffect(() => {
    const element = container.current;
    if (!element) return;
    const plot = draw(element, { stack, formatTime, onPoint, formatValue });
    const resized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [stack, dark, formatTime, onPoint, formatValue]);
  return <div ref={container} class="chart" aria-hidden="true" />;
}

function draw(element: HTMLElement, { stack, formatTime, onPoint, formatValue }: ChartProps): uPlot {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const lines = heights(stack);
  // Drawn from the tallest to the lowest, so that each covers the foot of the one before.
  const order = lines.map((_, index) => index).reverse();
  const { startsMs } = stack;
  const paths = uPlot.paths.bars?.({ size: [0.72, 64], gap: 0, radius: 0 });
  const axis: uPlot.Axis = { stroke: colour('--ink-quiet'), font, ticks: { show: false }, gap: 6 };
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [10, 18, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { show: false },
        x: true,
      },
      scales: {
        x: { time: false, range: [-0.6, startsMs.length - 0.4] },
        y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.06 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 28,
          splits: () => splitsOf(startsMs.length, element.clientWidth),
          values: (_plot, splits) => splits.map((index) => formatTime(startsMs[index] ?? 0)),
        },
        {
          ...axis,
          grid: { stroke: colour('--line'), width: 1 },
          size: (plot, values) => widthOf(plot, values),
          values: (_plot, splits) => splits.map(formatValue ?? dollars(splits)),
        },
      ],
      series: [
        {},
        ...order.map((index) => ({
          fill: colour(`--series-${(index % COLOURS) + 1}`),
          width: 0,
          points: { show: false },
          ...(paths ? { paths } : {}),
        })),
      ],
      hooks: { setCursor: [(plot: uPlot) => onPoint(plot.cursor.idx ?? null)] },
    },
    [startsMs.map((_, index) => index), ...order.map((index) => lines[index])] as uPlot.AlignedData,
    element,
  );
}

const LABEL_PX = 78;

/** Returns the buckets that get a label: evenly spaced, as many as fit, the last one always. */
function splitsOf(count: number, widthPx: number): number[] {
  const every = Math.max(1, Math.ceil(count / Math.max(1, Math.floor(widthPx / LABEL_PX))));
  const last = count - 1;
  return Array.from({ length: count }, (_, index) => index).filter((index) => (last - index) % every === 0);
}

const DIGITS_MAX = 9;

/** Returns the format of an axis: the fewest digits that show all labels exactly; never one digit of cents. */
function dollars(splits: readonly number[]): (value: number) => string {
  const isExact = (digits: number) =>
    splits.every((value) => Math.abs(value - Number(value.toFixed(digits))) < 1e-12);
  let digits = 0;
  while (digits < DIGITS_MAX && !isExact(digits)) digits++;
  if (digits === 1) digits = 2;
  return (value) => (value === 0 ? '$0' : `$${value.toFixed(digits)}`);
}

function widthOf(plot: uPlot, values: string[] | null): number {
  if (!values) return 40;
  plot.ctx.font = `${12 * devicePixelRatio}px ${getComputedStyle(plot.root).fontFamily}`;
  const widest = Math.max(...values.map((text) => plot.ctx.measureText(text).width));
  return Math.ceil(widest / devicePixelRatio) + 14;
}
