import { parseArgs } from 'node:util';
import { runMain } from '../test/cluster/failure.ts';
import { readLayers } from '../test/cluster/image-archive.ts';
import { buildImage, imageName } from '../test/cluster/image.ts';

const HELP = `Builds the image without a registry: the Dockerfile of a release, on base images made of what this machine has.

npm run image -- --output FILE.tar [--cli PATH] [--without-cli]

  --output FILE.tar  an archive for "ctr images import" and "docker load"; the image in it is ${imageName}
  --cli PATH         the Databricks CLI for Linux that goes into it; the tests' stand-in without
  --without-cli      for who brings one
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      output: { type: 'string' },
      cli: { type: 'string' },
      'without-cli': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const { output, cli, 'without-cli': withoutCli, help } = values;
  if (help === true) {
    console.log(HELP);
    return 0;
  }
  if (output === undefined || (withoutCli && cli !== undefined)) {
    process.stderr.write(HELP);
    return 64;
  }
  await buildImage({ output, cli, target: withoutCli ? 'without-cli' : undefined });
  const layers = await readLayers(output);
  for (const { bytes, instruction } of layers) console.log(`${kib(bytes)}  ${instruction}`);
  console.log(`${kib(layers.reduce((sum, { bytes }) => sum + bytes, 0))}  ${imageName} in ${output}`);
  return 0;
}

function kib(bytes: number): string {
  return `${Math.ceil(bytes / 1024).toLocaleString('en')} KiB`.padStart(13);
}

await runMain(main);
