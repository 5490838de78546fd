import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { files } from './layout.ts';

/** What the kubelet and the bridge plugin change on the machine. */
export const KERNEL_SETTINGS = [
  'kernel/keys/root_maxbytes',
  'kernel/keys/root_maxkeys',
  'kernel/panic',
  'kernel/panic_on_oops',
  'net/ipv4/ip_forward',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
];

function pathOf(name: string): string {
  return join('/proc/sys', name);
}

/** Undefined where the kernel has no such setting. */
export async function kernelSetting(name: string): Promise<string | undefined> {
  const text = await readFile(pathOf(name), 'utf8').catch(() => undefined);
  return text?.trim();
}

/** Must come before anything of the cluster runs, once. */
export async function saveKernelSettings(): Promise<void> {
  const values = await Promise.all(KERNEL_SETTINGS.map(async (name) => [name, await kernelSetting(name)] as const));
  await writeFile(files.kernelSettings, JSON.stringify(Object.fromEntries(values)));
}

export async function restoreKernelSettings(): Promise<void> {
  const saved = await readFile(files.kernelSettings, 'utf8').catch(() => '{}'); // nothing was ever changed
  for (const [name, value] of Object.entries(JSON.parse(saved) as Record<string, string>)) {
    if ((await kernelSetting(name)) !== value) await writeFile(pathOf(name), value);
  }
}
