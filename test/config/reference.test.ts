import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { EXAMPLES } from '../../scripts/configuration-reference.ts';
import { generatedFiles } from '../../scripts/generated-files.ts';
import { VARIABLES } from '../../src/config/environment.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { NEEDS } from '../../src/config/rules.ts';
import { load } from './loading.ts';

const root = join(import.meta.dirname, '..', '..');

test('the generated files are up to date', async () => {
  for (const [path, content] of await generatedFiles()) {
    assert.equal(await readFile(join(root, path), 'utf8'), content, `${path} differs: run npm run generate`);
  }
});

for (const { title, yaml, env = {} } of EXAMPLES) {
  test(`the example "${title}" is a valid configuration`, async (t) => {
    const { env: variables } = parse(yaml) as { env?: { name: string; value: string }[] };
    const config = variables
      ? await loadConfig({ env: Object.fromEntries(variables.map(({ name, value }) => [name, value])) })
      : await load(t, yaml, { env });
    assert.notEqual(config.credentials.length, 0);
  });
}

test('docs/files.md says of each format what it needs, in the order of the configuration', async () => {
  const page = await readFile(join(root, 'docs/files.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(\w+)` +\|.*\| +([^|]*?) +\| +(?:yes|no) +\|$/gm)];
  assert.deepEqual(
    rows.map(([, format, needs]) => [format, needs]),
    Object.entries(NEEDS).map(([format, fields]) => [format, fields.join(', ') || '–']),
  );
});

test('the examples show every option', () => {
  const shown = EXAMPLES.map(({ yaml }) => yaml).join('\n');
  for (const option of optionsOf(configJsonSchema())) assert.match(shown, new RegExp(`\\b${option}:`));
});

test('every option, variable and flag is described', () => {
  assert.doesNotMatch(JSON.stringify(configJsonSchema().properties), /"description":""/);
  for (const schema of schemasOf(configJsonSchema())) assert.ok(schema.description, JSON.stringify(schema));
  for (const { name, meaning } of VARIABLES) assert.ok(meaning, name);
});

type Schema = ReturnType<typeof configJsonSchema>;

function optionsOf(schema: Schema): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => [key, ...optionsOf(inner(value as Schema))]);
}

function schemasOf(schema: Schema): Schema[] {
  return Object.values(schema.properties ?? {}).flatMap((value) => [
    value as Schema,
    ...schemasOf(inner(value as Schema)),
  ]);
}

function inner(schema: Schema): Schema {
  return schema.type === 'array' ? (schema.items as Schema) : schema;
}
