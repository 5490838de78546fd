import { escaped } from '../../src/http/html.ts';
import { colourNamed, fieldOf, textOf, type DrawnPanel } from './panel.ts';

/** Grafana's classic palette. */
const PALETTE = ['#5794f2', '#f2cc0c', '#8ab8ff', '#ff780a', '#f2495c', '#73bf69', '#b877d9', '#705da0', '#37872d'];
const LEFT = 52;
const BOTTOM = 18;
const TOP = 6;
const LEGEND_LINE = 15;
const MOST_IN_LEGEND = 5;

export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** Lines or stacked bars over time, with a legend below that tells the last value and the greatest. */
export function drawTimeseries(panel: DrawnPanel, lines: readonly Line[], frame: Frame): string {
  const field = panel.fieldConfig!.defaults;
  const shown = lines.slice(0, MOST_IN_LEGEND);
  const hidden = lines.length - shown.length;
  const legendHeight = LEGEND_LINE * (shown.length + (hidden > 0 ? 1 : 0)) + 4;
  const plot = { width: frame.width - LEFT - 8, height: frame.height - legendHeight - BOTTOM - TOP };
  const isStacked = field.custom?.stacking?.mode === 'normal';
  const values = isStacked ? stackedTotals(lines) : lines.flatMap(({ points }) => points.map(([, value]) => value));
  const finite = values.filter(Number.isFinite);
  const [low, high] = bounds(field.min ?? Math.min(0, ...finite), field.max ?? Math.max(...finite, 0));
  const x = (at: number): number => LEFT + ((at - frame.from) / (frame.to - frame.from)) * plot.width;
  const y = (value: number): number => TOP + (1 - (value - low) / (high - low)) * plot.height;
  const draw = field.custom?.drawStyle === 'bars' ? bars : paths;
  const body = [
    grid(panel, { low, high, x, y, frame, plot }),
    draw(lines, { x, y, step: frame.step, base: y(Math.max(low, 0)), isStacked }),
    ...shown.map((line, index) => legend(panel, line, index, frame, frame.height - legendHeight + 12)),
    hidden > 0 ? `<text class="legend" x="${LEFT}" y="${frame.height - 4}">and ${hidden} more</text>` : '',
  ];
  return `<svg width="${frame.width}" height="${frame.height}">${body.join('')}</svg>`;
}

interface Scales {
  readonly x: (at: number) => number;
  readonly y: (value: number) => number;
}

function paths(lines: readonly Line[], { x, y, step }: Scales & { readonly step: number }): string {
  const one = ({ colour, points }: Line): string => {
    let path = '';
    let before = -Infinity;
    for (const [at, value] of points) {
      if (!Number.isFinite(value)) continue;
      path += `${at - before > 1.5 * step ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      before = at;
    }
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
  };
  return lines.map(one).join('');
}

interface Bars extends Scales {
  readonly step: number;
  readonly base: number;
  readonly isStacked: boolean;
}

function bars(lines: readonly Line[], { base, isStacked, step, x, y }: Bars): string {
  const tops = new Map<number, number>();
  const rects: string[] = [];
  for (const { colour, points } of lines) {
    for (const [at, value] of points) {
      if (!(value > 0)) continue;
      const from = isStacked ? (tops.get(at) ?? 0) : 0;
      tops.set(at, from + value);
      const [top, bottom] = [y(from + value), from === 0 ? base : y(from)];
      const width = Math.max(1, x(at + step) - x(at) - 0.5);
      rects.push(
        `<rect x="${x(at).toFixed(1)}" y="${top.toFixed(1)}" width="${width.toFixed(1)}" height="${(bottom - top).toFixed(1)}" fill="${colour}" fill-opacity="0.7"/>`,
      );
    }
  }
  return rects.join('');
}

interface Grid extends Scales {
  readonly low: number;
  readonly high: number;
  readonly frame: Frame;
  readonly plot: { readonly width: number; readonly height: number };
}

function grid(panel: DrawnPanel, { frame, high, low, plot, x, y }: Grid): string {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => low + part * (high - low));
  const rows = marks.map(
    (mark) =>
      `<line class="grid" x1="${LEFT}" x2="${LEFT + plot.width}" y1="${y(mark)}" y2="${y(mark)}"/>` +
      `<text class="axis" text-anchor="end" x="${LEFT - 5}" y="${y(mark) + 4}">${textOf(mark, { ...panel.fieldConfig!.defaults, decimals: Number.isInteger(mark) ? 0 : 1 })}</text>`,
  );
  const columns: string[] = [];
  for (let at = Math.ceil(frame.from / 60) * 60; at <= frame.to; at += 60) {
    const label = new Date(at * 1_000).toISOString().slice(11, 16);
    columns.push(`<text class="axis" text-anchor="middle" x="${x(at)}" y="${TOP + plot.height + 14}">${label}</text>`);
  }
  return [...rows, ...columns].join('');
}

function legend(panel: DrawnPanel, { colour, name, points }: Line, index: number, frame: Frame, top: number): string {
  const values = points.map(([, value]) => value).filter(Number.isFinite);
  const y = top + index * LEGEND_LINE;
  const field = panel.fieldConfig!.defaults;
  const figures = `last ${textOf(values.at(-1), field)} · max ${textOf(values.length > 0 ? Math.max(...values) : undefined, field)}`;
  return (
    `<rect x="${LEFT}" y="${y - 5}" width="10" height="3" fill="${colour}"/>` +
    `<text class="legend" x="${LEFT + 15}" y="${y}">${escaped(name)}</text>` +
    `<text class="legend" text-anchor="end" x="${frame.width - 8}" y="${y}">${figures}</text>`
  );
}

function stackedTotals(lines: readonly Line[]): number[] {
  const totals = new Map<number, number>();
  for (const { points } of lines) for (const [at, value] of points) totals.set(at, (totals.get(at) ?? 0) + value);
  return [...totals.values()];
}

function bounds(low: number, high: number): [number, number] {
  return high > low ? [low, high] : [low, low + 1];
}

/** What the dashboard says about a series of this name, or the next one of the palette. */
export function colourOfLine(panel: DrawnPanel, name: string, index: number): string {
  const { color } = fieldOf(panel, name);
  return color?.fixedColor === undefined ? PALETTE[index % PALETTE.length]! : colourNamed(color.fixedColor);
}
