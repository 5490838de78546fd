import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

export type Errno = keyof typeof constants.errno;

/** As Node.js has it, which knows no name for some. */
export function systemError(name: Errno): NodeJS.ErrnoException {
  const errno = -constants.errno[name];
  return Object.assign(new Error(name), { code: getSystemErrorName(errno), errno });
}
