import { readdir, readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { KERNEL_SETTINGS, kernelSetting } from './kernel-settings.ts';
import { mountsBelow } from './leftovers.ts';
import { processesOf } from './daemons.ts';
import { locatePrograms } from './programs.ts';

/** Everything on this machine that a cluster changes while it runs; two of them are equal when it left nothing. */
export async function traces(): Promise<Record<string, unknown>> {
  const [mounts, links, tables, cgroups, files, settings, processes] = await Promise.all([
    mountsBelow(['']),
    names('/sys/class/net'),
    execa('nft', ['list', 'tables']).then(({ stdout }) => stdout),
    Promise.all((await names('/sys/fs/cgroup')).map(async (name) => [name, await names(`/sys/fs/cgroup/${name}`)])),
    Promise.all(
      ['/etc', '/opt', '/run', '/run/netns', '/tmp', '/var/lib', '/var/lib/cni', '/var/log'].map(async (path) => [
        path,
        (await names(path)).filter((name) => !isOfOthers(path, name)),
      ]),
    ),
    Promise.all(KERNEL_SETTINGS.map(async (name) => [name, await kernelSetting(name)])),
    locatePrograms().then((programs) => processesOf(Object.values(programs))),
  ]);
  return { mounts, links, tables, cgroups, files, settings, processes };
}

/** Other programs come and go in the folder for temporary files; nothing of the cluster's has another name there. */
function isOfOthers(folder: string, name: string): boolean {
  return folder === '/tmp' && !/kube|containerd|runc|image-/.test(name);
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).then(
    (found) => found.toSorted((a, b) => a.localeCompare(b)),
    () => [],
  );
}

/** The children of a process, zombies too, as `state name`. */
export async function childrenOf(parent: number): Promise<string[]> {
  const stats = await Promise.all(
    (await readdir('/proc'))
      .filter((entry) => /^\d+$/.test(entry))
      .map((entry) => readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '')), // gone meanwhile
  );
  return stats.flatMap((text) => {
    const [, name = '', state = '', ppid = ''] = /^\d+ \((.*)\) (\S) (\d+)/.exec(text) ?? [];
    return Number(ppid) === parent ? [`${state} ${name}`] : [];
  });
}
