import { readFile } from 'node:fs/promises';
import type { Clock } from '../src/credential/ports.ts';
import { Reader } from './reader.ts';
import { inSeconds, type Scene } from './scene.ts';
import type { Props, Stage } from './stage.ts';

/** Two applications with the same job: one reads the password when it needs it, the other when it starts. */
export async function castReaders({ connection, lakebase }: Props, stage: Stage, scene: Scene, clock: Clock) {
  // As in a pod: node-postgres, like every libpq program, looks there for a password when it has none.
  process.env['PGPASSFILE'] = stage.pgpass;
  const tokens = new Set<string | undefined>();
  const follow = ({ lastLoginWasOk, firstRefusal, refusals, name }: Reader): void => {
    if (!lastLoginWasOk) {
      if (refusals === 1) scene.tell(`${name} reader: ${firstRefusal?.message}`, 'bad');
      return scene.changed();
    }
    const login = lakebase.logins.findLast(({ applicationName, ok }) => ok && applicationName === name);
    if (scene.outage !== undefined && scene.outage.endedAtMs === undefined) scene.outage.logins += 1;
    if (login === undefined || tokens.has(login.tokenFingerprint)) return scene.changed();
    tokens.add(login.tokenFingerprint);
    scene.rotations = tokens.size - 1;
    const token = `token ${login.tokenFingerprint?.slice(0, 12)}`;
    if (scene.rotations === 0) scene.tell(`both readers start with ${token}`);
    else if (!scene.isOver) scene.tell(`rotation ${scene.rotations}: the pgpass reader is in with ${token}`, 'good');
    scene.changed();
  };
  const noticeLockout = ({ refusals, firstRefusal, name }: Reader): void => {
    if (refusals === 1) scene.tell(`${name} reader: locked out after ${inSeconds(firstRefusal?.afterMs ?? 0)}`, 'bad');
    scene.changed();
  };
  const pgpass = new Reader({
    name: 'pgpass',
    habit: 'PGPASSFILE, no password, no code',
    connection,
    clock,
    onLogin: follow,
  });
  const readOnce = new Reader({
    name: 'read-once',
    habit: 'kept the password it started with',
    connection: { ...connection, password: await readFile(stage.token, 'utf8') },
    clock,
    onLogin: noticeLockout,
  });
  scene.readers = [pgpass, readOnce];
  return { pgpass, readOnce };
}
