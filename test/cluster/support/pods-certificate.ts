import { link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { certificateFor, type Certificate } from '../../support/certificate.ts';
import { appsDirectory } from '../layout.ts';

const FOREVER = new Date('2099-01-01');

/**
 * Of the stand-in workspace at that address. It is made once and kept, because the sidecar's image for tests trusts it:
 * with another one each time, that image would never come out of the cache.
 */
export async function workspaceCertificate(address: string): Promise<Certificate> {
  const path = join(appsDirectory, `workspace-${address.replaceAll(':', '-')}.json`);
  return (await read(path)) ?? (await make(path, address));
}

/** Of two that are made at the same time the first one stays. */
async function make(path: string, address: string): Promise<Certificate> {
  const certificate = await certificateFor([address], FOREVER);
  await mkdir(appsDirectory, { recursive: true });
  const directory = await mkdtemp(join(appsDirectory, 'unfinished-'));
  try {
    const whole = join(directory, 'certificate.json');
    await writeFile(whole, JSON.stringify(certificate), { mode: 0o600 });
    await link(whole, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return (await read(path))!;
}

async function read(path: string): Promise<Certificate | undefined> {
  return readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as Certificate,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
}
