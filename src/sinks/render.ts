import { rfc3339 } from '../credential/display.ts';
import type { Format } from '../credential/formats.ts';
import { parseJson, recordOf } from '../credential/json.ts';
import type { Connection, Credential } from '../credential/ports.ts';

const DEFAULT_PORT = 5432;
const DEFAULT_SSLMODE = 'require';

type Renderer = (token: string, credential: Credential, connection: Connection) => string;
type Parser = (content: string) => string | undefined;

/** What a sink holds for this credential, byte by byte. The configuration has made sure of what a format needs. */
export function render(format: Format, credential: Credential, connection: Connection): string {
  return RENDERERS[format](credential.token.reveal(), credential, connection);
}

/** The token in what `render` made, also with other connection settings; undefined for anything else. */
export function parseToken(format: Format, content: string): string | undefined {
  const token = PARSERS[format](content);
  return token === '' ? undefined : token;
}

const RENDERERS: Readonly<Record<Format, Renderer>> = {
  pgpass(token, _, { host, port, user }) {
    const fields = [needed('pgpass', 'host', host), `${port ?? '*'}`, '*', needed('pgpass', 'user', user), token];
    return `${fields.map(escapeField).join(':')}\n`;
  },

  token: (token) => token,

  /** What is not known is null, so that every key is always there. */
  json(token, { service }, { host = null, port = DEFAULT_PORT, database = null, user = null }) {
    const [issuedAt, expiresAt] = [rfc3339(service.issuedAt), rfc3339(service.expiresAt)];
    return `${JSON.stringify({ token, issuedAt, expiresAt, host, port, database, user })}\n`;
  },

  env(token, _, { host, port = DEFAULT_PORT, database, user, sslmode = DEFAULT_SSLMODE }) {
    const variables = {
      PGHOST: needed('env', 'host', host),
      PGPORT: `${port}`,
      PGDATABASE: needed('env', 'database', database),
      PGUSER: needed('env', 'user', user),
      PGPASSWORD: token,
      PGSSLMODE: sslmode,
    };
    return Object.entries(variables)
      .map(([name, value]) => `${name}=${shellWord(value)}\n`)
      .join('');
  },

  /** No newline at the end: like `token`, it is read as one value. */
  uri(token, _, { host, port = DEFAULT_PORT, database, user, sslmode = DEFAULT_SSLMODE }) {
    const userInfo = `${encode(needed('uri', 'user', user))}:${encode(token)}`;
    const authority = `${userInfo}@${encodeHost(needed('uri', 'host', host))}:${port}`;
    return `postgresql://${authority}/${encodeDatabase(needed('uri', 'database', database))}?sslmode=${encode(sslmode)}`;
  },
};

const PARSERS: Readonly<Record<Format, Parser>> = {
  pgpass: (content) =>
    /^(?:(?:[^:\\\n]|\\.)*:){4}((?:[^:\\\n]|\\.)+)\n$/.exec(content)?.[1]?.replaceAll(/\\(.)/g, '$1'),
  token: (content) => content,
  json(content) {
    const { token } = recordOf(parseJson(content));
    return typeof token === 'string' ? token : undefined;
  },
  env(content) {
    const [, single, double] = /^PGPASSWORD=(?:'((?:[^'\n]|'\\'')*)'|"([^"$`\\\n]*)")$/m.exec(content) ?? [];
    return single?.replaceAll(`'\\''`, `'`) ?? double;
  },
  uri(content) {
    try {
      return decodeURIComponent(/^postgresql:\/\/[^:@/]*:([^:@/]+)@/.exec(content)?.[1] ?? '');
    } catch {
      return undefined; // not percent-encoded by us
    }
  },
};

function needed(format: Format, name: keyof Connection, value: string | undefined): string {
  if (value === undefined) throw new TypeError(`a ${format} file needs connection.${name}`);
  return value;
}

/** A line break cannot be escaped in a password file, and would start a line of its own. */
function escapeField(field: string): string {
  if (/[\r\n\0]/.test(field)) throw new TypeError('a pgpass file cannot hold a line break');
  return field.replaceAll(/[\\:]/g, String.raw`\$&`);
}

/**
 * As one word for `sh`. Systemd and Node.js read quoted values, too, but know no quote that is escaped: where nothing is
 * special between double quotes, a value with a single one is put there.
 */
export function shellWord(value: string): string {
  if (value.includes(`'`) && !/["$`\\]/.test(value)) return `"${value}"`;
  return `'${value.replaceAll(`'`, `'\\''`)}'`;
}

/** RFC 3986: `encodeURIComponent` leaves some of the reserved characters as they are. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** These may stand in a path as they are, and node-postgres would leave their codes in the name. */
function encodeDatabase(database: string): string {
  return encode(database).replaceAll(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent);
}

/** A name has no colons; the configuration has seen to that. */
function encodeHost(host: string): string {
  return host.includes(':') ? `[${host.replace('%', '%25')}]` : encode(host);
}
