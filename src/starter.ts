#!/usr/bin/env node
import { join } from 'node:path';
import { isOlder } from './minters/is-older.ts';
import { Parts } from './platform/parts.ts';

/** What package.json says about `engines`; the build fills it in. */
declare const NEEDED_NODE: string;

// What `dist/main.js` is: the bundle of main.ts lies in parts beside it.
const { node } = process.versions;
if (isOlder(node, NEEDED_NODE)) {
  process.stderr.write(`lakebase-credential-sidecar: Node.js ${NEEDED_NODE} or newer is needed, this is ${node}\n`);
  process.exitCode = 69; // it cannot start
} else {
  const directory = import.meta.dirname;
  new Parts(join(directory, 'parts')).require('./main.js');
}
