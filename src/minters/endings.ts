import { MintError } from '../credential/errors.ts';
import { OPEN_FILES_REMEDIES } from '../credential/failures.ts';

export const MORE_MEMORY = 'raise the memory limit of the container: a program that exceeds it is ended like that';

/** For errors that keep any other program from being started as well. */
const REMEDY_BY_ERRNO: Readonly<Record<string, string>> = {
  EAGAIN: 'raise the limit on processes, of the pod (podPidsLimit of the kubelet) or of the user (ulimit -u)',
  ...OPEN_FILES_REMEDIES,
  ENOMEM: 'raise the memory limit of the container, or find out what uses up the memory of this machine',
  E2BIG:
    'shorten the environment variables that the CLI gets, such as PATH, proxies and the client secret: each may have 128 KiB',
  ETXTBSY: 'wait until the installation of the CLI, which still writes to its file, has finished',
};

export function notStarted(command: string, errno: string): MintError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist, or is not a program that this machine can run',
    EACCES: 'is not executable',
    ENOEXEC: 'is not a program for this machine',
  };
  const reason = reasons[errno] ?? `cannot be started (${errno})`;
  return new MintError('spawn', `the CLI "${command}" ${reason}`, { remedy: REMEDY_BY_ERRNO[errno] });
}

/** It has left no words. Our own SIGKILL follows a deadline, which is told as such. */
export function endedBy(signal = 'a signal'): MintError {
  return new MintError('unknown', `the CLI was ended by ${signal}`, {
    remedy: signal === 'SIGKILL' ? MORE_MEMORY : 'find out what ends it: by itself, the CLI ends with an exit code',
  });
}
