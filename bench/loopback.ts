import { isIP } from 'node:net';

/**
 * What is measured here logs in as fast as it can and takes services down: nothing for a workspace that somebody uses.
 * A name under `.invalid` is nobody's.
 */
export function requireLoopback(variable: string, url: string | undefined): void {
  if (url === undefined || url === '' || isLoopback(url)) return;
  throw new Error(`${variable} is ${url}: only what listens on loopback is measured; run it without this variable`);
}

function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost' || host.endsWith('.invalid');
}
