import { escaped } from '../../src/http/html.ts';
import type { Dashboard } from '../../test/support/monitoring.ts';
import type { Prometheus, Series } from '../../test/support/prometheus.ts';
import { colourOf, textOf, type DrawnPanel } from './panel.ts';
import { drawTable } from './table.ts';
import { colourOfLine, drawTimeseries } from './timeseries.ts';

const COLUMN = 50;
const ROW = 31;
const GAP = 6;
const TITLE = 24;
export const WIDTH = 24 * COLUMN + GAP;

const STYLE = `
  body { margin: 0; background: #f4f5f5; font: 12px/1.3 'DejaVu Sans', sans-serif; color: #24292e; }
  section { position: absolute; box-sizing: border-box; background: #fff; border: 1px solid #dce1e6; border-radius: 2px; overflow: hidden; }
  section h2 { font-size: 12px; font-weight: 600; margin: 5px 8px 3px; }
  h1 { position: absolute; margin: 8px 0 0 8px; font-size: 14px; }
  .stat { position: absolute; inset: 0; display: flex; flex-direction: column; }
  .stat b { flex: 1; display: grid; place-items: center; font-size: 34px; font-weight: 600; }
  .stat small { margin: 2px 8px 0; font-size: 12px; }
  .filled { color: #fff; }
  table { border-collapse: collapse; width: 100%; font-size: 11.5px; }
  th { text-align: left; color: #1f60c4; font-weight: 600; padding: 3px 8px; border-bottom: 1px solid #dce1e6; white-space: nowrap; }
  td { padding: 3px 8px; border-bottom: 1px solid #eef0f2; white-space: nowrap; }
  .gauge b { display: inline-block; width: 90px; height: 12px; background: #e9edf2; margin-right: 6px; vertical-align: -2px; }
  .gauge i { display: block; height: 100%; }
  svg { display: block; }
  .grid { stroke: #e6e9ed; }
  .axis { font-size: 10px; fill: #6e7680; }
  .legend { font-size: 10.5px; fill: #464c54; }
`;

export interface Moment {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** Every panel with what its own queries answer now, where the dashboard puts it. */
export async function drawPage(
  dashboard: Dashboard,
  prometheus: Prometheus,
  moment: Moment,
  fill: (expr: string) => string,
): Promise<string> {
  const panels = await Promise.all(
    dashboard.panels.map(async (panel) => place(panel, await drawPanel(panel, prometheus, moment, fill))),
  );
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style>${panels.join('')}`;
}

export function heightOf({ panels }: Dashboard): number {
  return Math.max(...panels.map(({ gridPos: { h, y } }) => y + h)) * ROW + GAP;
}

function place({ gridPos: { h, w, x, y }, title, type }: DrawnPanel, content: string): string {
  const [left, top] = [x * COLUMN + GAP, y * ROW + GAP];
  if (type === 'row') return `<h1 style="left:${left}px;top:${top}px">${escaped(title)}</h1>`;
  const size = `left:${left}px;top:${top}px;width:${w * COLUMN - GAP}px;height:${h * ROW - GAP}px`;
  return `<section style="${size}">${type === 'stat' ? '' : `<h2>${escaped(title)}</h2>`}${content}</section>`;
}

async function drawPanel(
  panel: DrawnPanel,
  prometheus: Prometheus,
  { from, step, to }: Moment,
  fill: (expr: string) => string,
): Promise<string> {
  const targets = panel.targets ?? [];
  switch (panel.type) {
    case 'row':
      return '';
    case 'stat': {
      const [first] = await prometheus.query(fill(targets[0]!.expr), to);
      return drawStat(panel, first);
    }
    case 'table': {
      const all = targets.map(async ({ expr, refId }) => [refId, await prometheus.query(fill(expr), to)] as const);
      return drawTable(panel, new Map(await Promise.all(all)));
    }
    case 'timeseries': {
      const range = { from, to, step };
      const answers = targets.map(async ({ expr, legendFormat }) =>
        (await prometheus.queryRange(fill(expr), range)).map(({ metric, values }) => ({
          name: named(legendFormat, metric),
          points: values.map(([at, value]) => [at, Number(value)] as const),
        })),
      );
      const lines = (await Promise.all(answers)).flat();
      const frame = {
        from,
        to,
        step,
        width: panel.gridPos.w * COLUMN - GAP - 2,
        height: panel.gridPos.h * ROW - GAP - TITLE,
      };
      return drawTimeseries(
        panel,
        lines.map((line, index) => ({ ...line, colour: colourOfLine(panel, line.name, index) })),
        frame,
      );
    }
    default:
      throw new Error(`"${panel.title}" is a ${panel.type}, which nobody can draw here`);
  }
}

function named(legend: string, metric: Series['metric']): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '').trim();
}

function drawStat(panel: DrawnPanel, series: Series | undefined): string {
  const field = panel.fieldConfig!.defaults;
  const value = series === undefined ? undefined : Number(series.value[1]);
  const colour = value === undefined ? '#8e959d' : colourOf(value, field);
  const isFilled = panel.options?.colorMode === 'background';
  const look = isFilled ? `class="stat filled" style="background:${colour}"` : 'class="stat"';
  const text = isFilled ? '' : ` style="color:${colour}"`;
  const hasName = panel.options?.textMode === 'value_and_name' && series !== undefined;
  const name = hasName ? `<small>${escaped(named(panel.targets![0]!.legendFormat, series.metric))}</small>` : '';
  return `<div ${look}><h2>${escaped(panel.title)}</h2>${name}<b${text}>${textOf(value, field) || 'No data'}</b></div>`;
}
