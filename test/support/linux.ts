import { existsSync } from 'node:fs';

export const IN_LINUX =
  'docker run --rm --volume "$PWD":/src --volume /src/node_modules --workdir /src node:26 npm test';
/** Why what is asked of the kernel cannot be tested here; false where it can. */
export const NOT_LINUX: string | false = !existsSync('/proc/self/fd') && `it needs Linux: \`${IN_LINUX}\``;
