// Plain JavaScript for any Node from 20 on: runs before `npm test` and the like, so that each works as the only command
// after a clone. What it installs includes the Node that the script itself then runs on (npm puts it first in the PATH).
import { execFileSync } from 'node:child_process';
import { lstatSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const changedAt = (path) => statSync(new URL(`../${path}`, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;

const isLink = lstatSync(new URL('../node_modules', import.meta.url), { throwIfNoEntry: false })?.isSymbolicLink();
const isInstalled = changedAt('node_modules/.package-lock.json') >= changedAt('package-lock.json');
if (!isInstalled && isLink) {
  // `npm ci` would empty what it leads to, which is somebody else's.
  console.log('node_modules is a link: what it leads to is taken as it is; run `npm ci` there, or remove the link');
} else if (!isInstalled) {
  console.log('installing what package-lock.json lists (once) …');
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm === undefined ? ['npm'] : [process.execPath, npm];
  // NODE_ENV=production would leave out the tools, and the Node.js that runs them.
  execFileSync(command, [...args, 'ci', '--include=dev', '--loglevel=error', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: 'inherit',
  });
}
