import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { network } from './layout.ts';
import type { Tools } from './requirements.ts';

type Nft = Pick<Tools, 'nft'>;

const TABLE = `ip ${network.name}`;
/** Kept by the kernel and nowhere else, so that several processes can each add and take away ports of their own. */
const HOST_PORTS = `${TABLE} host_ports`;

/** The bridge that pods are attached to; exists before the first pod, because its address is the node's. */
export async function createBridge({ ip }: Tools): Promise<void> {
  await execa(ip, ['link', 'add', network.name, 'type', 'bridge']);
  await execa(ip, ['address', 'add', `${network.nodeAddress}/24`, 'dev', network.name]);
  await execa(ip, ['link', 'set', network.name, 'up']);
  // Lets what arrives here be sent on to loopback addresses, which the kernel drops otherwise.
  await writeFile(`/proc/sys/net/ipv4/conf/${network.name}/route_localnet`, '1');
}

/**
 * What pods reach on this machine's loopback address, and nothing else: the API server where they look for it, and the
 * host ports at the node's address.
 */
export async function redirectPods({ nft }: Nft, apiserverPort: number): Promise<void> {
  const from = `iifname "${network.name}" ip daddr`;
  await run(nft, [
    `table ${TABLE} {`,
    'set host_ports { type inet_service; }',
    'chain prerouting { type nat hook prerouting priority dstnat - 5;',
    `${from} ${network.apiServiceAddress} tcp dport 443 dnat to 127.0.0.1:${apiserverPort}`,
    `${from} ${network.nodeAddress} tcp dport @host_ports dnat to 127.0.0.1`,
    '}',
    '}',
  ]);
}

export async function readHostPorts({ nft }: Nft): Promise<number[]> {
  const { stdout } = await execa(nft, ['--json', 'list', 'set', ...HOST_PORTS.split(' ')]);
  const { nftables } = JSON.parse(stdout) as { nftables: { set?: { elem?: number[] } }[] };
  return nftables.flatMap(({ set }) => set?.elem ?? []).toSorted((a, b) => a - b);
}

/** Lets pods reach these ports, and no longer those that were given before. */
export async function setHostPorts({ nft }: Nft, ports: readonly number[]): Promise<void> {
  const added = ports.length === 0 ? [] : [`add element ${HOST_PORTS} { ${ports.join(', ')} }`];
  await run(nft, [`flush set ${HOST_PORTS}`, ...added]);
}

export async function openHostPort({ nft }: Nft, port: number): Promise<void> {
  await run(nft, [`add element ${HOST_PORTS} { ${port} }`]);
}

export async function closeHostPort({ nft }: Nft, port: number): Promise<void> {
  await run(nft, [`delete element ${HOST_PORTS} { ${port} }`]);
}

/** In one transaction. */
async function run(nft: string, commands: readonly string[]): Promise<void> {
  await execa(nft, ['-f', '-'], { input: `${commands.join('\n')}\n` });
}

export async function removeHostNetwork({ ip, nft }: Pick<Tools, 'ip' | 'nft'>): Promise<void> {
  const { stdout: tables } = await execa(nft, ['list', 'tables']);
  if (tables.split('\n').includes(`table ${TABLE}`)) await execa(nft, ['delete', 'table', ...TABLE.split(' ')]);
  const { stdout: links } = await execa(ip, ['-oneline', 'link', 'show']);
  if (links.includes(`: ${network.name}: `)) await execa(ip, ['link', 'delete', network.name]);
}
