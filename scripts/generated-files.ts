import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as prettier from 'prettier';
import { figuresPage, quoteFigures } from '../bench/page.ts';
import { readResults } from '../bench/results.ts';
import { configJsonSchema } from '../src/config/json-schema.ts';
import { chartReadme } from './chart-readme.ts';
import { reliabilityReport } from '../test/mutants/report.ts';
import { chartValuesSchema } from './chart-schema.ts';
import { configurationReference } from './configuration-reference.ts';

/** Content by path from the root of the repository, as it is committed. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const results = readResults();
  const readme = await readFile(join(import.meta.dirname, '..', 'README.md'), 'utf8');
  const contents = Object.entries({
    'README.md': quoteFigures(readme, results),
    'docs/figures.md': figuresPage(results),
    'docs/configuration.md': configurationReference(),
    'docs/reliability.md': reliabilityReport(),
    'docs/configuration.schema.json': JSON.stringify(configJsonSchema()),
    'charts/lakebase-credential-sidecar/README.md': chartReadme(),
    'charts/lakebase-credential-sidecar/values.schema.json': JSON.stringify(chartValuesSchema()),
  });
  const options = await prettier.resolveConfig(import.meta.filename);
  return new Map(
    await Promise.all(
      contents.map(
        async ([filepath, content]) => [filepath, await prettier.format(content, { ...options, filepath })] as const,
      ),
    ),
  );
}
