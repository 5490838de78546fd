import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ConfigError } from '../../src/credential/errors.ts';
import { loadConfig, type Config, type LoadOptions } from '../../src/config/load.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

export const IDENTITY = {
  DATABRICKS_HOST: 'https://workspace.example',
  DATABRICKS_CLIENT_ID: 'client-1',
  DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/token',
};

export const ENDPOINT = 'projects/backstage/branches/production/endpoints/primary';

/** The least that a credential must say, in the file. */
export function credential(changes: object = {}): Record<string, unknown> {
  const sinks = [{ file: { path: '/run/lakebase/token', format: 'token' } }];
  return { name: 'backstage', endpoint: ENDPOINT, sinks, ...changes };
}

export async function configFile(t: TestContext, content: string | Uint8Array): Promise<string> {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'config.yaml');
  await writeFile(path, content);
  return path;
}

/** Loads a file with this content; JSON is YAML. */
export async function load(t: TestContext, content: unknown, options: Partial<LoadOptions> = {}): Promise<Config> {
  const config = await configFile(t, typeof content === 'string' ? content : JSON.stringify(content));
  return loadConfig({ env: IDENTITY, ...options, flags: { config, ...options.flags } });
}

/** `path: message` of everything that is wrong; none if nothing is. */
export async function problems(loading: Promise<Config>): Promise<string[]> {
  try {
    await loading;
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n');
  }
}
