import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CliError } from './databricks-cli-http.ts';

interface Attribute {
  readonly env: string;
  /** More than one group without an auth type is an error. */
  readonly group?: 'pat' | 'oauth' | 'file-oidc';
  readonly isSensitive?: boolean;
  readonly isInternal?: boolean;
}

/** In the order in which the real program lists them. */
const ATTRIBUTES = {
  host: { env: 'DATABRICKS_HOST' },
  account_id: { env: 'DATABRICKS_ACCOUNT_ID' },
  workspace_id: { env: 'DATABRICKS_WORKSPACE_ID' },
  token: { env: 'DATABRICKS_TOKEN', group: 'pat', isSensitive: true },
  profile: { env: 'DATABRICKS_CONFIG_PROFILE' },
  config_file: { env: 'DATABRICKS_CONFIG_FILE' },
  client_id: { env: 'DATABRICKS_CLIENT_ID', group: 'oauth' },
  client_secret: { env: 'DATABRICKS_CLIENT_SECRET', group: 'oauth', isSensitive: true },
  databricks_cli_path: { env: 'DATABRICKS_CLI_PATH' },
  auth_type: { env: 'DATABRICKS_AUTH_TYPE', isInternal: true },
  databricks_id_token_filepath: { env: 'DATABRICKS_OIDC_TOKEN_FILEPATH', group: 'file-oidc' },
} as const satisfies Record<string, Attribute>;

type Name = keyof typeof ATTRIBUTES;
export type Config = { [name in Name]?: string | undefined };

function attributes(): [Name, Attribute][] {
  return Object.entries(ATTRIBUTES) as [Name, Attribute][];
}

/** The end of an error about the configuration. */
export function describe(config: Config): string {
  const used = attributes().filter(([name, { isInternal }]) => config[name] && !isInternal);
  const values = used.map(([name, { isSensitive }]) => `${name}=${isSensitive ? '***' : config[name]}`);
  const variables = used.map(([, { env }]) => env).filter((env) => process.env[env]);
  return [
    values.length > 0 ? `Config: ${values.join(', ')}` : '',
    variables.length > 0 ? `Env: ${variables.join(', ')}` : '',
  ]
    .filter((part) => part !== '')
    .join('. ');
}

function parseIni(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split('\n').map((line) => line.trim())) {
    const name = /^\[(.+)\]$/.exec(line)?.[1];
    if (name !== undefined) {
      section = new Map();
      sections.set(name, section);
    } else if (line !== '' && !/^[#;]/.test(line)) {
      const [key = '', ...value] = line.split('=');
      section.set(key.trim(), value.join('=').trim());
    }
  }
  return sections;
}

function fail(step: string, message: string, config: Config): never {
  throw new CliError(`${step}: ${message}. ${describe(config)}`);
}

function addProfile(config: Config): void {
  const hasIdentity = attributes().some(([name, { group }]) => (group || name === 'host') && config[name]);
  if (hasIdentity && !config.profile) return;
  const file = config.config_file ?? join(process.env['HOME'] ?? homedir(), '.databrickscfg');
  const profile = config.profile ?? 'DEFAULT';
  // A file that is missing is no error, even where a profile is named (config/config_file.go of the SDK's v0.175.0).
  if (!existsSync(file)) return;
  const section = parseIni(readFileSync(file, 'utf8')).get(profile);
  if (section === undefined) {
    if (config.profile) fail('resolve', `${file} has no ${profile} profile configured`, config);
    return;
  }
  for (const [name] of attributes()) config[name] ??= section.get(name);
}

/** Environment, then the profile for what is still missing. @throws CliError */
export function loadConfig(profileFlag: string | undefined): Config {
  const config: Config = {};
  for (const [name, { env }] of attributes()) config[name] = process.env[env] || undefined;
  if (profileFlag !== undefined) config.profile = profileFlag;
  addProfile(config);
  if (config.host) {
    const host = config.host.includes('://') ? config.host : `https://${config.host}`;
    config.host = new URL(host).origin;
  }
  const groups = new Set(attributes().flatMap(([name, { group }]) => (group && config[name] ? [group] : [])));
  if (groups.size > 1 && !config.auth_type) {
    fail('validate', `more than one authorization method configured: ${[...groups].sort().join(' and ')}`, config);
  }
  return config;
}

const AUTH_TYPE_NAMES: Readonly<Record<string, string>> = {
  pat: 'Personal Access Token (pat)',
  'oauth-m2m': 'OAuth Machine-to-Machine (oauth-m2m)',
};

const REMEDIES: Readonly<Record<string, string>> = {
  pat: 'Regenerate your access token',
  'oauth-m2m': 'Check your service principal client ID and secret',
};

/** What follows the message when the API answers 401 or 403. */
export function nextSteps(status: number, authType: string, { host, profile }: Config): string {
  const login = profile && authType === 'pat' ? ` or run: databricks auth login --profile ${profile}` : '';
  return [
    '',
    ...(profile ? ['', `Profile:   ${profile}`] : ['']),
    `Host:      ${host}`,
    `Auth type: ${AUTH_TYPE_NAMES[authType] ?? authType}`,
    '',
    'Next steps:',
    status === 401
      ? `  - ${REMEDIES[authType] ?? 'Check your authentication credentials'}${login}`
      : '  - Verify you have the required permissions for this operation',
    `  - Check your identity: databricks auth describe${profile ? ` --profile ${profile}` : ''}`,
    ...(profile ? [] : ['  - Consider setting up a profile: databricks auth login --profile <name>']),
  ].join('\n');
}
