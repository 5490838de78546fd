import { existsSync } from 'node:fs';

export const IN_LINUX =
  'docker run --rm --volume "$PWD":/src --volume /src/node_modules --workdir /src node:26 npm test';
/** A container may lack it, and macOS does. */
export const HAS_PROC = existsSync('/proc/self/fd');
/** Why what is asked of the kernel cannot be tested here; false where it can. */
export const NOT_LINUX: string | false = !HAS_PROC && `it needs Linux: \`${IN_LINUX}\``;
