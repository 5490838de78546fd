import type { Series } from '../../test/support/prometheus.ts';
import { escaped } from '../../src/http/html.ts';
import { colourNamed, colourOf, fieldOf, textOf, type DrawnPanel } from './panel.ts';

type Row = Readonly<Record<string, string | number>>;

/** What Grafana's transformations `merge` and `organize` make of the answers, one for each letter, and how it shows that. */
export function drawTable(panel: DrawnPanel, answers: ReadonlyMap<string, readonly Series[]>): string {
  const { indexByName = {}, renameByName = {} } = panel.transformations!.find(({ id }) => id === 'organize')!.options;
  const columns = Object.keys(indexByName).toSorted((a, b) => indexByName[a]! - indexByName[b]!);
  const names = columns.map((column) => renameByName[column] ?? column);
  const rows = merged(answers).map((row) => columns.map((column) => row[column]));
  const [sortBy] = panel.options?.sortBy ?? [];
  const sorted = sortBy === undefined ? rows : rows.toSorted(byColumn(names.indexOf(sortBy.displayName), sortBy.desc));
  const head = names.map((name) => `<th>${escaped(name)}</th>`).join('');
  const body = sorted.map((row) => `<tr>${row.map((value, i) => cell(panel, names[i]!, value)).join('')}</tr>`);
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}

/** Rows with the same labels become one. */
function merged(answers: ReadonlyMap<string, readonly Series[]>): readonly Row[] {
  const rows = new Map<string, Record<string, string | number>>();
  for (const [letter, series] of answers) {
    for (const { metric, value } of series) {
      const key = JSON.stringify(
        Object.keys(metric)
          .toSorted((a, b) => a.localeCompare(b))
          .map((label) => [label, metric[label]]),
      );
      const row = rows.get(key) ?? { ...metric };
      row[answers.size === 1 ? 'Value' : `Value #${letter}`] = Number(value[1]);
      rows.set(key, row);
    }
  }
  return [...rows.values()];
}

/** What is missing comes first, as Grafana has it. */
function byColumn(column: number, isDescending: boolean) {
  return (a: readonly (string | number | undefined)[], b: readonly (string | number | undefined)[]): number =>
    (isDescending ? -1 : 1) * (Number(a[column] ?? -Infinity) - Number(b[column] ?? -Infinity));
}

function cell(panel: DrawnPanel, name: string, value: string | number | undefined): string {
  const field = fieldOf(panel, name);
  const look = field.custom?.cellOptions?.type;
  const mapped = field.mappings?.[0]?.options[String(value)];
  const text = mapped?.text ?? (typeof value === 'number' ? textOf(value, field) : escaped(value ?? ''));
  const colour = mapped === undefined ? colourOf(Number(value), field) : colourNamed(mapped.color);
  if (look === 'color-text') return `<td style="font-weight:600;color:${colour}">${text}</td>`;
  if (look !== 'gauge' || typeof value !== 'number') return `<td>${text}</td>`;
  const part = Math.min(1, Math.max(0, value / (field.max ?? 1)));
  const bar = `<i style="width:${(part * 100).toFixed(1)}%;background:${colour}"></i>`;
  return `<td class="gauge"><b>${bar}</b>${text}</td>`;
}
