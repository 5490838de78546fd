import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { mountHanging } from '../test/support/hanging-mount.ts';
import { choose } from '../test/support/random.ts';
import { type Inflict, NotDone, nothing, type Undo } from './inflicting.ts';
import { DIRECTORIES, FILES, SIDECAR_UID } from './layout.ts';
import { linkOr, readOr } from './processes.ts';
import type { Stage } from './stage.ts';

const BLOCK = Buffer.alloc(4_096);
const REMOUNT_TRIES = 20;
const STRANGE_MODES = [0o666, 0o644, 0o400, 0o000] as const;

/** To one directory of the volume. */
function onDirectory(act: (directory: string) => Undo): Inflict {
  return ({ stage }, { pick }) => act(stage.path('volume', choose(DIRECTORIES, pick)));
}

/** To one file, as somebody else; `way` is in [0, 1), for acts that know several. */
function onFile(act: (path: string, way: number, stage: Stage) => void): Inflict {
  return ({ stage }, { pick }) => {
    act(stage.path('volume', choose(FILES, pick).path), wayOf(pick), stage);
    return nothing;
  };
}

/** Another number from the same. */
function wayOf(pick: number): number {
  return (pick * 1_000) % 1;
}

export const ON_DISK = {
  'the disk is full': ({ stage }) => {
    const ballast = stage.path('volume', 'ballast');
    fill(ballast);
    return () => rmSync(ballast, { force: true });
  },
  'the disk is read-only': async ({ stage }) => {
    // Refused while somebody has a file open for writing.
    for (let i = 0; i < REMOUNT_TRIES && !stage.remount('ro'); i += 1) await delay(10);
    return () => void stage.remount('rw');
  },
  'the directory is closed': onDirectory((directory) => {
    chmodSync(directory, 0o500);
    return () => chmodSync(directory, 0o750);
  }),
  'the directory is removed': onDirectory((directory) => {
    rmSync(directory, { recursive: true, force: true });
    return nothing;
  }),
  'the disk hangs': async ({ stage, sidecar }, { pick }) => {
    const { pid } = sidecar;
    if (pid === undefined || !hasOwnMounts(pid)) throw new NotDone('the sidecar does not run yet');
    const directory = stage.path('volume', choose(DIRECTORIES, pick));
    const mount = await mountHanging(pid, directory).catch((problem) => {
      if (!hasOwnMounts(pid)) throw new NotDone('the sidecar has ended');
      if (!existsSync(directory)) throw new NotDone('the directory is gone');
      throw problem;
    });
    return async () => {
      await mount.giveUp();
      // Its mounts have ended with a sidecar that did, and with a directory that was removed.
      await mount.unmount().catch((problem) => {
        if (isMounted(pid, directory)) throw problem;
      });
    };
  },
  'a file is edited': onFile((path) => writeFileSync(path, `${readFileSync(path, 'utf8')}# edited\n`, { flag: 'r+' })),
  'a file is truncated': onFile((path, way) => truncateSync(path, way < 0.5 ? 0 : 100)),
  'a file is replaced': onFile((path, way, { workspace, strayToken }) => {
    const strange = `${path}.strange`;
    try {
      writeFileSync(strange, `localhost:*:*:${workspace.clientId}:${strayToken}\n`, { mode: 0o600 });
      if (way < 0.5) chownSync(strange, SIDECAR_UID, SIDECAR_UID);
      renameSync(strange, path);
    } catch (error) {
      rmSync(strange, { force: true });
      throw error;
    }
  }),
  'a file is removed': onFile((path) => unlinkSync(path)),
  'a file gets another mode': onFile((path, way) => chmodSync(path, choose(STRANGE_MODES, way))),
  'a state file is damaged': ({ stage }, { pick }) => {
    const directory = choose(DIRECTORIES, pick);
    const state = stage.path('volume', directory, `.${directory}.state.json`);
    if (wayOf(pick) < 0.5) unlinkSync(state);
    else writeFileSync(state, '{"identity":{"workspace":', { flag: 'r+' });
    return nothing;
  },
} as const satisfies Record<string, Inflict>;

/** Whether it runs, and what is mounted for it is not mounted for this process, too. */
function hasOwnMounts(pid: number): boolean {
  return !['', linkOr('/proc/self/ns/mnt')].includes(linkOr(`/proc/${pid}/ns/mnt`));
}

function isMounted(pid: number, directory: string): boolean {
  return readOr(`/proc/${pid}/mountinfo`, '').includes(` ${directory} `);
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, BLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
