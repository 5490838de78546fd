import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { network } from './layout.ts';
import type { Tools } from './requirements.ts';

const TABLE = `ip ${network.name}`;

/** The bridge that pods are attached to; exists before the first pod, because its address is the node's. */
export async function createBridge({ ip }: Tools): Promise<void> {
  await execa(ip, ['link', 'add', network.name, 'type', 'bridge']);
  await execa(ip, ['address', 'add', `${network.nodeAddress}/24`, 'dev', network.name]);
  await execa(ip, ['link', 'set', network.name, 'up']);
  // Lets what arrives here be sent on to loopback addresses, which the kernel drops otherwise.
  await writeFile(`/proc/sys/net/ipv4/conf/${network.name}/route_localnet`, '1');
}

/**
 * What pods reach on this machine's loopback address, and nothing else: the API server where they look for it, and each
 * of `hostPorts` at the node's address. Replaces earlier rules in one transaction.
 */
export async function redirectPods(
  { nft }: Pick<Tools, 'nft'>,
  { apiserverPort, hostPorts }: { readonly apiserverPort: number; readonly hostPorts: readonly number[] },
): Promise<void> {
  const rules = [
    [network.apiServiceAddress, 443, apiserverPort] as const,
    ...hostPorts.map((port) => [network.nodeAddress, port, port] as const),
  ].map(
    ([address, port, target]) =>
      `iifname "${network.name}" ip daddr ${address} tcp dport ${port} dnat to 127.0.0.1:${target}`,
  );
  const chain = `chain prerouting { type nat hook prerouting priority dstnat - 5; \n${rules.join('\n')}\n}`;
  await execa(nft, ['-f', '-'], { input: `table ${TABLE}\ndelete table ${TABLE}\ntable ${TABLE} {\n${chain}\n}\n` });
}

export async function removeHostNetwork({ ip, nft }: Pick<Tools, 'ip' | 'nft'>): Promise<void> {
  const { stdout: tables } = await execa(nft, ['list', 'tables']);
  if (tables.split('\n').includes(`table ${TABLE}`)) await execa(nft, ['delete', 'table', ...TABLE.split(' ')]);
  const { stdout: links } = await execa(ip, ['-oneline', 'link', 'show']);
  if (links.includes(`: ${network.name}: `)) await execa(ip, ['link', 'delete', network.name]);
}
