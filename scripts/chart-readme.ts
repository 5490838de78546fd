import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, parseDocument, type Node, type Pair, type Scalar, type YAMLMap } from 'yaml';

const CHART = join(import.meta.dirname, '../charts/lakebase-credential-sidecar');
const MARK = '<!-- What follows is made from values.yaml by `npm run generate`. -->';

/** One of values.yaml, with the comment above it. */
export interface Value {
  readonly path: string;
  /** Empty where there is none. */
  readonly comment: string;
  readonly node: Node;
}

/** The chart's README: what stands above the mark is written by hand. */
export function chartReadme(): string {
  const [head] = readFileSync(join(CHART, 'README.md'), 'utf8').split(MARK);
  return `${head!.trimEnd()}\n\n${MARK}\n\n${tables(chartValues())}`;
}

/** All of them, each before those in it. */
export function chartValues(): readonly Value[] {
  const { contents } = parseDocument(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
  return valuesIn(contents as YAMLMap, '');
}

function valuesIn(map: YAMLMap, prefix: string): Value[] {
  return map.items.flatMap((pair, index) => {
    const { key, value } = pair as Pair<Scalar<string>, Node>;
    // The comment before the first key is that of the map, for the parser.
    const comment = key.commentBefore ?? (index === 0 ? map.commentBefore : undefined) ?? '';
    const path = `${prefix}${key.value}`;
    const own = { path, comment: comment.replaceAll(/\s+/g, ' ').trim(), node: value! };
    return [own, ...(hasParts(value) ? valuesIn(value, `${path}.`) : [])];
  });
}

/** A map in braces is one value. */
function hasParts(node: unknown): node is YAMLMap {
  return isMap(node) && node.flow !== true;
}

function tables(values: readonly Value[]): string {
  const rows = values.map(({ path, comment, node }) => {
    const isPart = hasParts(node) && node.items.length > 0;
    return `| \`${path}\` | ${cell(comment)} | ${isPart ? '' : `\`${cell(JSON.stringify(node.toJSON()))}\``} |`;
  });
  return ['## Values', '', '| value | | default |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
