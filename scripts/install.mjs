// Plain JavaScript for any Node from 20 on: runs before `npm test` and the like, so that each works as the only command
// after a clone. What it installs includes the Node that the script itself then runs on. No `pre…` script: npm that is set
// to run no scripts of packages (ignore-scripts), Yarn and `node --run` leave those out.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const installedNode = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
const changedAt = (path) => statSync(new URL(`../${path}`, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;

const isLink = lstatSync(new URL('../node_modules', import.meta.url), { throwIfNoEntry: false })?.isSymbolicLink();
const isInstalled = changedAt('node_modules/.package-lock.json') >= changedAt('package-lock.json');
if (!isInstalled && isLink) {
  // `npm ci` would empty what it leads to, which is somebody else's.
  console.log('node_modules is a link: what it leads to is taken as it is; run `npm ci` there, or remove the link');
} else if (!isInstalled) {
  install();
  if (spawnSync(installedNode, ['--version']).status !== 0) useThisNode();
} else if (!existsSync(installedNode)) {
  useThisNode();
}

function install() {
  console.log('installing what package-lock.json lists (once) …');
  const { npm_execpath: manager = '' } = process.env;
  // Yarn and pnpm say by it where they are; only npm reads this lock file.
  const [command, ...args] = manager.endsWith('npm-cli.js') ? [process.execPath, manager] : ['npm'];
  // NODE_ENV=production would leave out the tools, and the Node.js that runs them; `omit=optional` what is not JavaScript.
  const all = ['--include=dev', '--include=optional'];
  const { error, status } = spawnSync(command, [...args, 'ci', ...all, '--loglevel=error', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (error !== undefined) console.error(`npm cannot be started: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/** The Node.js that npm installs needs glibc, which Alpine lacks, and an install script, which fetches it. */
function useThisNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  rmSync(installedNode, { force: true });
  if (major < 22 || (major === 22 && minor < 22)) {
    console.error(
      `the Node.js that npm installs is missing or does not run here, and this one, ${process.version}, is too old: use 22.22 or newer,` +
        ' or, if npm is set to run no scripts, have it fetched with `npm rebuild node --ignore-scripts=false`',
    );
    process.exit(1);
  }
  console.log(`the Node.js that npm installs is missing or does not run here: this one is used, ${process.version}`);
  symlinkSync(process.execPath, installedNode);
}
