import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Table } from './report.ts';
import type { Result } from './results.ts';
import { SECTIONS, type SectionName } from './sections.ts';

type Results = ReadonlyMap<SectionName, Result>;

const START = '<!-- figures: written by `npm run bench -- --write` -->';
const END = '<!-- end of figures -->';
const PICTURES = 'docs/figures';

/** `docs/figures.md`: nothing but what was measured. */
export function figuresPage(results: Results): string {
  return [
    '# Figures',
    '`npm run bench -- --write` measures everything and writes this page: do not edit it. `npm run bench -- start --write` measures only one part. It needs Linux and about ten minutes. It is not a test: a missed aim is only printed. Times say little about another machine, so everything is measured side by side with a baseline: compare the ratios. [performance.md](performance.md) explains the figures.',
    ...[...results].map(([name, result]) => section(name, result)),
    '## When, where and with what',
    markdown(
      ['part', 'date', 'machine', 'load before', 'versions'],
      [...results].map(([name, { date, machine, load, versions }]) => [`\`${name}\``, date, machine, load, versions]),
    ),
  ].join('\n\n');
}

function section(name: SectionName, { tables, notes, skipped }: Result): string {
  const { title, about, command } = SECTIONS[name];
  const picture = `${name}.svg`;
  const hasPicture = existsSync(join(import.meta.dirname, '..', PICTURES, picture));
  return [
    `## ${title}`,
    `${about} (\`${command}\`)`,
    ...(hasPicture ? [`![${title}](figures/${picture})`] : []),
    ...tables.map(table),
    ...notes,
    ...skipped.map((text) => `Not measured: ${text}.`),
  ].join('\n\n');
}

function table({ title, header, rows }: Table): string {
  return `**${title}**\n\n${markdown(header, rows)}`;
}

/** The README, with what it quotes of the figures brought up to date. */
export function quoteFigures(readme: string, results: Results): string {
  const [before, rest] = readme.split(START);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error('the README has no place for the figures');
  const rows = [...results].flatMap(([name, { quotes }]) =>
    quotes.map(({ what, figure }) => [what, figure, `[${SECTIONS[name].title}](docs/figures.md#${anchor(name)})`]),
  );
  return `${before}${START}\n\n${markdown(['', 'measured', 'more'], rows)}\n\n${END}${after}`;
}

/** As GitHub makes it of the heading. */
function anchor(name: SectionName): string {
  return SECTIONS[name].title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(/\s/g, '-');
}

function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${header.map((_, i) => (cells[i] ?? '').replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `| ${header.map((_, i) => (i === 0 ? '---' : '---:')).join(' | ')} |`;
  return [line(header), rule, ...rows.map(line)].join('\n');
}
