import { isLoopback } from '../src/config/identity.ts';

/**
 * What is measured here logs in as fast as it can and takes services down: nothing for a workspace that somebody uses.
 * A name under `.invalid` is nobody's.
 */
export function requireLoopback(variable: string, url: string | undefined): void {
  if (url === undefined || url === '' || isHarmless(url)) return;
  throw new Error(`${variable} is ${url}: only what listens on loopback is measured; run it without this variable`);
}

function isHarmless(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (isLoopback(url) || url.hostname.endsWith('.invalid'));
}
