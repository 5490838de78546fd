import { escaped } from '../../src/http/html.ts';
import { BUCKET_MS, histogram, MINUTE_MS, type Outcome } from './simulate.ts';

export interface Column {
  readonly title: string;
  /** By the name of who asks. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

const WIDTH = 900;
const LEFT = 190;
const GAP = 50;
const TOP = 46;
const ROW = 78;
const BARS = 56;
const BOTTOM = 34;

/** Both themes have to do with the same file: the reader's preference chooses. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .small { font-size: 11px; fill: #57606a; }
  .bar { fill: #8c959f; }
  .ours .bar { fill: #1a7f37; }
  line { stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .bar { fill: #6e7681; }
    .ours .bar { fill: #3fb950; }
    line { stroke: #3d444d; }
  }
`;

/** Requests at the workspace over time: a column for each scenario, a row for each way to ask. */
export function drawFleets(durationMs: number, columns: readonly Column[]): string {
  const names = [...(columns[0]?.outcomes.keys() ?? [])];
  const width = (WIDTH - LEFT - GAP * columns.length) / columns.length;
  const height = TOP + names.length * ROW + BOTTOM;
  const drawn = columns.map((column, i) => drawColumn(column, durationMs, LEFT + i * (width + GAP), width));
  const labels = names.map(
    (name, i) => `<text class="title" x="${LEFT - 12}" y="${baseline(i)}" text-anchor="end">${escaped(name)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Requests a second at the workspace, in five-minute averages">
<style>${STYLE}</style>
<text class="small" x="${LEFT}" y="${height - 4}">requests a second at the workspace, averages of ${BUCKET_MS / MINUTE_MS} minutes; each column has one scale</text>
${[...labels, ...drawn].join('\n')}
</svg>
`;
}

function drawColumn({ title, outcomes }: Column, durationMs: number, x: number, width: number): string {
  const rows = [...outcomes.values()].map(({ requests }) => perSecond(requests, durationMs));
  const most = Math.max(...rows.flat());
  const bars = rows.map((rates, row) => {
    const step = width / rates.length;
    const drawn = rates.map((rate, i) => {
      const high = (rate / most) * BARS;
      return `<rect class="bar" x="${round(x + i * step)}" y="${round(baseline(row) - high)}" width="${round(step - 1)}" height="${round(high)}"/>`;
    });
    const peak = `<text class="small" x="${x + width}" y="${baseline(row) - BARS}" text-anchor="end">at most ${Math.max(...rates).toFixed(1)}</text>`;
    return `<g class="${row === 0 ? 'ours' : 'theirs'}"><line x1="${x}" x2="${x + width}" y1="${baseline(row)}" y2="${baseline(row)}"/>${drawn.join('')}${peak}</g>`;
  });
  const hours = Array.from({ length: durationMs / (60 * MINUTE_MS) + 1 }, (_, hour) => {
    const at = x + (hour * 60 * MINUTE_MS * width) / durationMs;
    return `<text class="small" x="${round(at)}" y="${baseline(rows.length - 1) + 16}" text-anchor="middle">${hour} h</text>`;
  });
  return [`<text class="title" x="${x}" y="18">${escaped(title)}</text>`, ...bars, ...hours].join('\n');
}

function perSecond(requests: readonly number[], durationMs: number): number[] {
  return histogram(requests, 0, durationMs).map((count) => count / (BUCKET_MS / 1_000));
}

function baseline(row: number): number {
  return TOP + row * ROW + BARS;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
