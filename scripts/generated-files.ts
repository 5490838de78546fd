import * as prettier from 'prettier';
import { configurationReference } from '../src/config/reference.ts';
import { configJsonSchema } from '../src/config/schema.ts';
import { chartValuesSchema } from './chart-schema.ts';

/** Content by path from the root of the repository, as it is committed. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const contents = Object.entries({
    'docs/configuration.md': configurationReference(),
    'docs/configuration.schema.json': JSON.stringify(configJsonSchema()),
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
