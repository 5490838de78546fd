import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const dockerfile = readFileSync(join(import.meta.dirname, '../../Dockerfile'), 'utf8');

/** What the image sets for the program. */
export const IMAGE_ENVIRONMENT = Object.fromEntries(
  [...dockerfile.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]),
);
/** What it gives Node.js on the command line. */
export const IMAGE_FLAGS = [.../^ENTRYPOINT .*$/m.exec(dockerfile)![0].matchAll(/"(--[\w-]+)"/g)].map(
  ([, flag]) => flag!,
);
