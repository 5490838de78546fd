import { readdir, readFile, readlink, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { killAll } from './daemons.ts';
import { network, runtimeDirectory, stateDirectory } from './layout.ts';

const CGROUPS = '/sys/fs/cgroup';
/** Where a kubelet puts pods, whoever runs it. */
const POD_CGROUP = 'kubepods';
/** Has a folder for each container of this cluster, by its identifier. */
const CONTAINERS = join(runtimeDirectory, 'containerd', 'io.containerd.runtime.v2.task', 'k8s.io');
const GONE_MS = 5_000;
const POLL_MS = 50;

/** The processes in this cluster's containers, and in no others'; those that have ended but for their entry left out. */
export async function podProcesses(): Promise<number[]> {
  const containers = await list(CONTAINERS);
  if (containers.length === 0) return [];
  const isOurs = (cgroup: string): boolean => containers.some((container) => cgroup.includes(container));
  return processesWhere(isOurs);
}

/** The processes in pods of a kubelet that is not ours, and that ours would end because it does not know them. */
export async function foreignPodProcesses(): Promise<number[]> {
  const ours = new Set(await podProcesses());
  // The first line is that of a resource controller; in the last one, of the unified hierarchy, containers may have others.
  const all = await processesWhere((cgroup) => /^\d+:[^:]*:\/kubepods/.test(cgroup));
  return all.filter((pid) => !ours.has(pid));
}

async function processesWhere(matches: (cgroup: string) => boolean): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''); // gone meanwhile
      return matches(cgroup) && (await hasProgram(pid)) ? Number(pid) : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined);
}

/** A zombie has none. */
async function hasProgram(pid: string): Promise<boolean> {
  return readlink(`/proc/${pid}/exe`).then(
    () => true,
    () => false,
  );
}

export async function killPods(): Promise<void> {
  await killAll(podProcesses, 'a process in a pod');
}

/** Needs every process of the pods to be gone; what still has one belongs to another kubelet, and stays. */
export async function removePodCgroups(): Promise<void> {
  const hierarchies = await readdir(CGROUPS, { withFileTypes: true });
  const roots = [CGROUPS, ...hierarchies.filter((entry) => entry.isDirectory()).map(({ name }) => join(CGROUPS, name))];
  for (const root of roots) {
    const folders = await foldersBelow(join(root, POD_CGROUP));
    const members = await Promise.all(folders.map(async (folder) => contentOf(join(folder, 'cgroup.procs'))));
    if (members.some((text) => text !== '')) continue;
    for (const folder of folders) await removeCgroup(folder);
  }
}

/** It stays busy for a moment after its last process. */
async function removeCgroup(folder: string): Promise<void> {
  const deadline = Date.now() + GONE_MS;
  for (;;) {
    try {
      return await rmdir(folder);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || Date.now() > deadline) throw error;
    }
    await delay(POLL_MS);
  }
}

/** Children before their parents. */
async function foldersBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return [];
  const children = entries.filter((entry) => entry.isDirectory()).map(({ name }) => foldersBelow(join(folder, name)));
  return [...(await Promise.all(children)).flat(), folder];
}

/** The innermost first; lazily, because some process may still be ending in there. */
export async function unmountBelow(folders: readonly string[]): Promise<void> {
  const mounts = await mountsBelow(folders);
  if (mounts.length > 0) await execa('umount', ['--lazy', ...mounts.toReversed()]);
}

/** In the order of mounting. */
export async function mountsBelow(folders: readonly string[]): Promise<string[]> {
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
  return mountinfo
    .split('\n')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
    .filter((path) => folders.some((folder) => path.startsWith(`${folder}/`)));
}

function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCodePoint(Number.parseInt(digits, 8)));
}

/** What the kubelet and the network plugins write to places that cannot be configured. */
export async function removeStrayFiles(): Promise<void> {
  const logs = '/var/log/containers';
  for (const name of await list(logs)) {
    const target = await readlink(join(logs, name)).catch(() => '');
    if (target.startsWith(`${stateDirectory}/`)) await rm(join(logs, name));
  }
  await removeEmpty(logs);
  const results = '/var/lib/cni/results';
  for (const name of await list(results)) {
    if (name.startsWith(`${network.name}-`)) await rm(join(results, name));
  }
  await removeEmpty(results);
  await removeEmpty('/var/lib/cni');
  await rm('/var/lib/kubelet/device-plugins/kubelet.sock', { force: true });
  await removeEmpty('/var/lib/kubelet/device-plugins');
  await removeEmpty('/var/lib/kubelet');
}

async function contentOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => ''); // removed meanwhile
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function removeEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY') ignoreMissing(error);
  });
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
