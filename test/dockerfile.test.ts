import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ');
const lines = dockerfile.split('\n').filter((line) => !line.startsWith('#'));
const defaults = new Map(
  lines.flatMap((line) => {
    const [, name, value] = /^ARG (\w+)=(\S+)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value!]];
  }),
);

test('the image build runs no script of a dependency', () => {
  const commands = lines.filter((line) => /\b(?:npm|npx)\b/.test(line.replaceAll('npmrc', '')));
  assert.equal(commands.length, 1, commands.join('\n'));
  assert.match(commands[0]!, / npm ci --ignore-scripts /);
});

test('the image is made from build arguments alone, by exact version or by what a release looks up', () => {
  const stages = new Set(lines.flatMap((line) => / AS (\S+)$/.exec(line)?.[1] ?? []));
  const bases = lines.flatMap((line) => /^FROM (?:--platform=\S+ )?(\S+)/.exec(line)?.[1] ?? []);
  const others = bases.filter((base) => !stages.has(base));
  assert.deepEqual(new Set(others), new Set(['${RUNTIME_IMAGE}', '${BUILD_IMAGE}', '${CLI_IMAGE}']));
  for (const [, from = ''] of dockerfile.matchAll(/--from=(\S+)/g)) assert.ok(stages.has(from), from);
  assert.match(defaults.get('CLI_VERSION')!, /^\d+\.\d+\.\d+$/);
  assert.match(defaults.get('CLI_IMAGE')!, /:\$\{CLI_VERSION\}$/);
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies: { node: string };
  };
  assert.match(defaults.get('BUILD_IMAGE')!, new RegExp(`/node:${devDependencies.node}-`));
});

test('the image says what it was made from', () => {
  assert.match(dockerfile, /org\.opencontainers\.image\.base\.name="\$\{RUNTIME_IMAGE\}"/);
  assert.match(dockerfile, /lakebase-credential-sidecar\.cli\.image="\$\{CLI_IMAGE\}"/);
  // An argument that is used in a stage without being declared there is empty.
  for (const [name, stage] of [
    ['RUNTIME_IMAGE', 'FROM runtime AS without-cli'],
    ['CLI_IMAGE', 'FROM without-cli\n'],
  ] as const) {
    const after = dockerfile.slice(dockerfile.indexOf(stage) + stage.length).split('\nFROM')[0]!;
    assert.match(after, new RegExp(`^ARG ${name}$`, 'm'));
  }
});
