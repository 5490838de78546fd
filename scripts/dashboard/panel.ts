import type { Panel as AnyPanel } from '../../test/support/monitoring.ts';

/** What Grafana calls a step of a threshold: from this value on, the first from below everything. */
export interface Step {
  readonly color: string;
  readonly value: number | null;
}

export interface Field {
  readonly unit?: string;
  readonly decimals?: number;
  readonly min?: number;
  readonly max?: number;
  readonly color?: { readonly mode: string; readonly fixedColor?: string };
  readonly thresholds?: { readonly steps: readonly Step[] };
  readonly mappings?: readonly {
    readonly options: Readonly<Record<string, { readonly text: string; readonly color: string }>>;
  }[];
  readonly custom?: {
    readonly drawStyle?: 'line' | 'bars';
    readonly stacking?: { readonly mode: string };
    readonly cellOptions?: { readonly type: string };
    readonly [key: string]: unknown;
  };
}

/** A panel, as far as it is drawn here. */
export interface DrawnPanel extends AnyPanel {
  readonly fieldConfig?: {
    readonly defaults: Field;
    readonly overrides: readonly {
      readonly matcher: { readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
  readonly options?: {
    readonly colorMode?: string;
    readonly textMode?: string;
    readonly sortBy?: readonly { readonly displayName: string; readonly desc: boolean }[];
  };
  readonly transformations?: readonly {
    readonly id: string;
    readonly options: {
      readonly indexByName?: Readonly<Record<string, number>>;
      readonly renameByName?: Readonly<Record<string, string>>;
    };
  }[];
}

/** Of a column of a table: the panel's own, and what is said of this column. */
export function fieldOf({ fieldConfig }: DrawnPanel, name: string): Field {
  const field: Record<string, unknown> = { ...fieldConfig?.defaults };
  for (const { matcher, properties } of fieldConfig?.overrides ?? []) {
    if (matcher.options !== name) continue;
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) field['custom'] = { ...(field['custom'] as object), [id.slice(7)]: value };
      else field[id] = value;
    }
  }
  return field;
}

/** Grafana's names of colours, as its light theme has them. */
const COLOURS: Readonly<Record<string, string>> = {
  green: '#56a64b',
  yellow: '#e0b400',
  orange: '#ff780a',
  red: '#e02f44',
  text: '#24292e',
};

export function colourOf(value: number, { color, thresholds }: Field): string {
  if (color?.fixedColor !== undefined) return colourNamed(color.fixedColor);
  const step = thresholds?.steps.findLast(({ value: from }) => from === null || value >= from);
  return COLOURS[step?.color ?? ''] ?? '#1f60c4';
}

export function colourNamed(name: string): string {
  return COLOURS[name] ?? name;
}

export function textOf(value: number | undefined, { decimals, unit }: Field): string {
  if (value === undefined || Number.isNaN(value)) return '';
  if (unit === 'percentunit') return `${(value * 100).toFixed(decimals ?? 1)} %`;
  if (unit === 'bytes') return `${(value / 2 ** 20).toFixed(decimals ?? 0)} MiB`;
  if (unit === 's') return duration(value, decimals);
  return Number.isInteger(value) ? String(value) : value.toFixed(decimals ?? 2);
}

function duration(seconds: number, decimals?: number): string {
  const [size] = [Math.abs(seconds)];
  if (size >= 3_600) return `${(seconds / 3_600).toFixed(decimals ?? 1)} h`;
  if (size >= 120) return `${(seconds / 60).toFixed(decimals ?? 1)} min`;
  if (size >= 1 || size === 0) return `${seconds.toFixed(decimals ?? 2)} s`;
  return `${(seconds * 1_000).toFixed(decimals ?? 0)} ms`;
}
