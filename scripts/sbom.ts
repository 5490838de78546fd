import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packagesIn, readMeta } from './bundle-meta.ts';

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
}

interface Bom {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/**
 * Writes what the bundle is made of beside it: npm's own list of what is locked, with hashes and licences, but only the packages
 * of which there is code in the bundle. What the base image and the CLI are made of, who publishes them says.
 */
function writeBom(outdir: string): void {
  const { name, version } = JSON.parse(readFileSync('package.json', 'utf8')) as { name: string; version: string };
  const args = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only'];
  const bom = JSON.parse(execFileSync('npm', args, { encoding: 'utf8', maxBuffer: 2 ** 26 })) as Bom;
  const bundled = new Set([`${name}@${version}`, ...packagesIn(readMeta(outdir))]);
  const isBundled = (ref: string): boolean => bundled.has(ref);
  const components = bom.components.filter((component) => isBundled(component['bom-ref']));
  if (components.length !== bundled.size - 1) throw new Error('npm sbom does not know every package of the bundle');
  const path = join(outdir, 'sbom.cdx.json');
  const { metadata, dependencies } = bom;
  const text = JSON.stringify({
    ...bom,
    metadata: { ...metadata, component: { ...metadata.component, name } }, // npm names it after the folder
    components,
    dependencies: dependencies
      .filter(({ ref }) => isBundled(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(isBundled) })),
  });
  writeFileSync(path, `${text}\n`);
  console.log(`${path}: ${components.length} packages`);
}

writeBom('dist');
