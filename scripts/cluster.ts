import { parseArgs } from 'node:util';
import { existingCluster, existingKubeconfig } from '../test/cluster/cluster.ts';
import { ClusterError, runMain } from '../test/cluster/failure.ts';
import { readHostPorts } from '../test/cluster/host-network.ts';
import { files, programsDirectory } from '../test/cluster/layout.ts';
import { down, readRecord, status, up } from '../test/cluster/lifecycle.ts';
import { buildPrograms } from '../test/cluster/programs.ts';
import { requireTools } from '../test/cluster/requirements.ts';

const HELP = `A real Kubernetes cluster with one node, on this machine, for tests.

npm run cluster -- up [--install] [--audit] [--host-port PORT]...
npm run cluster -- down
npm run cluster -- status
npm run cluster -- build

up prints the path of the kubeconfig; it needs Linux, root, Go and some Debian packages, and builds Kubernetes' programs
the first time (minutes). build builds only these, and prints where they are. down leaves nothing but them: remove
${programsDirectory} to be rid of them.
With KUBECONFIG set, that cluster is used instead, and nothing is started or stopped.

  --install         installs the Debian packages that are missing
  --audit           has the API server write ${files.auditLog}
  --host-port PORT  lets pods reach this port of the machine's loopback address; may be repeated
`;

/** Progress goes to stderr, so that the path of the kubeconfig is all that stdout has. */
function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new ClusterError(`--host-port ${text}: a port is a number from 1 to 65535`);
}

async function runUp({ install, audit, ports }: Options): Promise<number> {
  const hostPorts = ports?.map((port) => portOf(port));
  if (existingKubeconfig === undefined) {
    await up({
      report,
      installs: install ?? false,
      ...(audit === undefined ? {} : { hasAuditLog: audit }),
      ...(hostPorts === undefined ? {} : { hostPorts }),
    });
    console.log(files.kubeconfig);
  } else {
    await useExisting(existingKubeconfig);
  }
  return 0;
}

async function runDown(): Promise<number> {
  if (existingKubeconfig === undefined) await down();
  else report(`the cluster of KUBECONFIG (${existingKubeconfig}) is not ours to stop`);
  return 0;
}

async function runStatus(): Promise<number> {
  if (existingKubeconfig !== undefined) {
    await useExisting(existingKubeconfig);
    return 0;
  }
  const condition = await status();
  report(condition);
  if (condition !== 'up') return 1;
  const { hasAuditLog } = await readRecord();
  const hostPorts = await readHostPorts(await requireTools({ installs: false }));
  if (hostPorts.length > 0) report(`pods reach these ports of this machine: ${hostPorts.join(', ')}`);
  if (hasAuditLog) report(`audit log: ${files.auditLog}`);
  console.log(files.kubeconfig);
  return 0;
}

async function runBuild(): Promise<number> {
  await buildPrograms(report);
  console.log(programsDirectory);
  return 0;
}

async function useExisting(kubeconfig: string): Promise<void> {
  const cluster = await existingCluster(kubeconfig);
  report(`KUBECONFIG is set: using that cluster (${await cluster.kubectl(['config', 'current-context'])})`);
  await cluster.kubectl(['get', '--raw', '/readyz']);
  console.log(kubeconfig);
}

interface Options {
  readonly install: boolean | undefined;
  readonly audit: boolean | undefined;
  readonly ports: readonly string[] | undefined;
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      install: { type: 'boolean' },
      audit: { type: 'boolean' },
      'host-port': { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const { install, audit, 'host-port': ports } = values;
  const commands = { up: () => runUp({ install, audit, ports }), down: runDown, status: runStatus, build: runBuild };
  const [name = '', ...rest] = positionals;
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  if (!Object.hasOwn(commands, name) || rest.length > 0) {
    report(HELP);
    return 64;
  }
  return commands[name as keyof typeof commands]();
}

await runMain(main);
