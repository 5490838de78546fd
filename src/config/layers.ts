import { FORMATS } from '../credential/formats.ts';
import { isRecord } from '../credential/json.ts';
import { read, readOrDefault, VARIABLES, type Environment, type Flags } from './environment.ts';

/** A configuration before it is checked. */
export interface Input {
  readonly value: Readonly<Record<string, unknown>>;
  /** What sets an option where it is not the file: the name of a variable or of a flag, by the option's path. */
  readonly sources: ReadonlyMap<string, string>;
}

/** What Kubernetes injects for a Service that happens to be called `lakebase-credential-http`. */
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/** The one credential of the mode without a file. */
export function credentialFromEnvironment(env: Environment): Input {
  const sources = new Map<string, string>();
  const credential: Record<string, unknown> = {};
  const connection: Record<string, unknown> = {};
  for (const { name, group, option } of VARIABLES) {
    if (group !== 'credential' || option === undefined) continue;
    sources.set(option, name);
    const value = readOrDefault(env, name);
    const [, key = '', field] = option.split('.');
    if (value === undefined) continue;
    if (field === undefined) credential[key] = value;
    else connection[field] = parse(option, value);
  }
  const directory = readOrDefault(env, 'LAKEBASE_CREDENTIAL_DIR')?.replace(/\/$/, '');
  const formats = readOrDefault(env, 'LAKEBASE_CREDENTIAL_FILES')?.split(/[\s,]+/);
  const sinks = [...new Set(formats)]
    .filter((format) => format !== '')
    .map((format, i) => {
      sources.set(`credentials[0].sinks[${i}].file.path`, 'LAKEBASE_CREDENTIAL_DIR');
      // A path in the place of a format, say, is no fault of the directory.
      const name = FORMATS.some((known) => known === format) ? format : String(i);
      return { file: { path: `${directory}/${name}`, format } };
    });
  return { value: { credentials: [{ ...credential, connection, sinks }] }, sources };
}

/** Adds the variables and flags that count with and without a file. */
export function withSettings({ value, sources }: Input, env: Environment, flags: Flags): Input {
  const changed: Record<string, unknown> = { ...value };
  const changedSources = new Map(sources);
  for (const { name, flag, option } of VARIABLES) {
    if (flag === undefined || option === undefined) continue;
    const variable = SERVICE_LINK.test(env[name] ?? '') ? undefined : read(env, name);
    const given = flags[flag] ?? variable;
    if (given === undefined) continue;
    const [section = '', key = ''] = option.split('.');
    const { [section]: before = {} } = changed;
    if (!isRecord(before)) continue; // stays as it is, to be reported
    changed[section] = { ...before, [key]: parse(option, given) };
    changedSources.set(option, flags[flag] === undefined ? name : `--${flag}`);
  }
  return { value: changed, sources: changedSources };
}

/** The service principal's role in Postgres has its application id as its name. */
export function withDefaultUser({ value, sources }: Input, user: string | undefined): Input {
  if (user === undefined || !Array.isArray(value['credentials'])) return { value, sources };
  const changedSources = new Map(sources);
  const credentials = value['credentials'].map((credential: unknown, i) => {
    if (!isRecord(credential)) return credential;
    const { connection = {} } = credential;
    if (!isRecord(connection) || connection['user'] !== undefined) return credential;
    changedSources.set(`credentials[${i}].connection.user`, 'DATABRICKS_CLIENT_ID');
    return { ...credential, connection: { ...connection, user } };
  });
  return { value: { ...value, credentials }, sources: changedSources };
}

/** The variable or flag that set this option, or a mapping around it; the option's own path where the file did. */
export function sourceOf(path: string, sources: Input['sources']): string {
  for (let part = path; part !== ''; part = part.slice(0, Math.max(part.lastIndexOf('.'), part.lastIndexOf('['), 0))) {
    const source = sources.get(part);
    if (source !== undefined) return source;
  }
  return path;
}

function parse(option: string, value: string): unknown {
  return option.endsWith('port') && /^[0-9]{1,5}$/.test(value) ? Number(value) : value;
}
