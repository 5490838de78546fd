import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureCpu } from './cpu.ts';
import { measureFleet } from './fleet.ts';
import { measureMemory } from './memory.ts';
import { measurePublish } from './publish.ts';
import { Scene } from './scene.ts';
import { measureSecretMemory } from './secret-memory.ts';
import { measureStart } from './start.ts';
import { say } from './table.ts';

const PARTS = {
  start: measureStart,
  publish: measurePublish,
  memory: async (scene: Scene) => {
    await measureMemory(scene);
    await measureSecretMemory(scene);
  },
  cpu: measureCpu,
  fleet: measureFleet,
} as const;
type Part = keyof typeof PARTS;

const NAMES = Object.keys(PARTS) as Part[];
const USAGE = `npm run bench -- [${NAMES.join(' | ')}]… [--full] [--repeat COUNT]`;

const { values, positionals } = parseArgs({
  options: { full: { type: 'boolean', default: false }, repeat: { type: 'string', default: '15' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !NAMES.some((part) => part === name));
const repetitions = Number(values.repeat);
if (unknown !== undefined || !(repetitions >= 1)) throw new Error(`${unknown ?? '--repeat'}: usage: ${USAGE}`);
const chosen = positionals.length === 0 ? NAMES : NAMES.filter((name) => positionals.includes(name));

const { status } = spawnSync(process.execPath, ['scripts/build.ts'], { stdio: 'inherit' });
if (status !== 0) throw new Error('the bundle was not built');
const scene = await Scene.create();
try {
  say(`Node.js ${process.versions.node}, ${cpus().length} CPUs; the CLI is ${scene.cli.name}`);
  for (const name of chosen) await PARTS[name](scene, { isFull: values.full, repetitions });
} finally {
  await scene.close();
}
