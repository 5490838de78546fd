import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { temporaryDirectory } from './support/cleanup.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const { jobs, env, defaults } = parse(read('.github/workflows/release.yaml')) as Workflow;
const steps = Object.values(jobs).flatMap((job) => job.steps);
const scripts = steps.flatMap(({ run }) => run ?? []);

/** Of the runner; that of macOS is of 2007. */
const hasBash = spawnSync('bash', ['-c', '[ "${BASH_VERSINFO[0]}" -ge 4 ]']).status === 0;
const options = { skip: !hasBash && 'it needs bash 4: `brew install bash && npm test`, or `apk add bash && npm test`' };

interface Workflow {
  readonly env: Readonly<Record<string, string>>;
  readonly defaults?: { readonly run: { readonly shell: string } };
  readonly jobs: Readonly<Record<string, { readonly needs?: string; readonly steps: readonly { run?: string }[] }>>;
}

test('a release publishes nothing before every test has passed, and no image with the CLI', () => {
  assert.equal(jobs['publish']!.needs, 'test');
  assert.ok(jobs['test']!.steps.some(({ run }) => run?.includes('.ci/run')));
  const builds = scripts.filter((script) => script.includes('buildx build'));
  assert.equal(builds.length, 1);
  assert.match(builds[0]!, /--target without-cli /);
  assert.match(read('Dockerfile'), /^FROM runtime AS without-cli$/m);
});

test('a release is built on the base images of the Dockerfile, by digest', options, () => {
  const lookup = scripts.find((script) => script.includes('imagetools inspect'))!;
  const answered = `docker() { echo sha256:abc; }\n${lookup}`;
  const output = execFileSync('bash', ['-e', '-c', answered], {
    cwd: root,
    env: { ...process.env, GITHUB_ENV: '/dev/null' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const images = [...read('Dockerfile').matchAll(/^ARG (BUILD_IMAGE|RUNTIME_IMAGE)=(.*):[^:]+$/gm)];
  assert.equal(images.length, 2);
  assert.deepEqual(
    output.trim().split('\n'),
    images.map(([, name, image]) => `${name}=${image}@sha256:abc`),
  );
  const build = scripts.find((script) => script.includes('buildx build'))!;
  for (const [, name] of images) assert.ok(build.includes(`--build-arg ${name}="$${name}"`));
});

test(
  'a release goes to names in lower case, which is all that a registry takes, whatever the name of the owner',
  options,
  () => {
    const names = scripts.find((script) => script.includes('IMAGE=ghcr.io'))!;
    const output = execFileSync('bash', ['-e', '-c', names], {
      env: {
        ...process.env,
        GITHUB_ENV: '/dev/null',
        GITHUB_REPOSITORY: 'Acme-Data/lakebase-credential-sidecar',
        GITHUB_REPOSITORY_OWNER: 'Acme-Data',
      },
      encoding: 'utf8',
    });
    assert.equal(output, 'IMAGE=ghcr.io/acme-data/lakebase-credential-sidecar\nCHARTS=ghcr.io/acme-data/charts\n');
  },
);

test('the signed list of what is in the image has the packages of the bundle, too', () => {
  const list = scripts.find((script) => script.includes('cosign attest'))!;
  // Its defaults go by package.json files and binaries only. The name is one that this part of syft looks for.
  assert.match(list, /^syft .* --select-catalogers \+sbom-cataloger /m);
  assert.match(read('scripts/sbom.ts'), /'sbom\.cdx\.json'/);
});

test('a chart that cannot be pushed ends a release there, before anything is signed', options, async (t) => {
  const push = scripts.find((script) => script.includes('helm push'))!;
  const flags = defaults?.run.shell === 'bash' ? ['-e', '-o', 'pipefail'] : ['-e']; // as GitHub starts it
  const script = `helm() { [ "$1" = package ]; }\n${push}`;
  const cwd = await temporaryDirectory(t);
  const environment = { ...process.env, GITHUB_ENV: '/dev/null', GITHUB_REF_NAME: 'v1.2.3' };
  assert.throws(() => execFileSync('bash', [...flags, '-c', script], { cwd, env: environment, stdio: 'ignore' }));
});

test('every script of a release is one that bash can read', options, () => {
  assert.ok(scripts.length > 5);
  for (const input of scripts) execFileSync('bash', ['-n'], { input });
});

test(
  'the version check of a release lets this version through once its changelog has a date, and no other',
  options,
  () => {
    const check = scripts.find((script) => script.includes('package.json'))!;
    const { version } = JSON.parse(read('package.json')) as { version: string };
    const passes = (tag: string, changelog: string): boolean => {
      const script = check.replace('CHANGELOG.md', '-');
      try {
        const environment = { ...process.env, GITHUB_REF_NAME: tag, CHART: env['CHART'] };
        execFileSync('bash', ['-e', '-c', script], { cwd: root, input: changelog, env: environment });
        return true;
      } catch {
        return false;
      }
    };
    assert.ok(passes(`v${version}`, `## [${version}] - 2026-12-01\n`));
    assert.ok(!passes(`v${version}`, `## [${version}] - Unreleased\n`));
    assert.ok(!passes('v9.9.9', `## [9.9.9] - 2026-12-01\n`));
  },
);
