import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { dashboard, withVariables } from '../test/support/monitoring.ts';
import { startPrometheus } from '../test/support/prometheus.ts';
import { temporaryDirectory, SharedCleanup } from '../test/support/cleanup.ts';
import { withPalette } from './dashboard/png.ts';
import { drawPage, heightOf, WIDTH } from './dashboard/page.ts';
import { letThingsHappen, startPods } from './dashboard/story.ts';

// docs/dashboard.png: real sidecars go through real faults, a real Prometheus watches, and each panel's own queries are
// drawn as the dashboard says. It needs Debian's packages prometheus and chromium, and five minutes.

const SCRAPE_S = 2;
const PICTURE = join(import.meta.dirname, '../docs/dashboard.png');

function say(line: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
}

async function photograph(html: string, height: number, cleanup: SharedCleanup): Promise<void> {
  const directory = await temporaryDirectory(cleanup);
  const page = join(directory, 'dashboard.html');
  await writeFile(page, html);
  const flags = [
    '--headless',
    '--disable-gpu',
    '--hide-scrollbars',
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    `--user-data-dir=${join(directory, 'profile')}`,
    `--window-size=${WIDTH},${height}`,
    `--screenshot=${PICTURE}`,
  ];
  await execa('chromium', [...flags, pathToFileURL(page).href], { timeout: 60_000 });
  await writeFile(PICTURE, withPalette(await readFile(PICTURE)));
}

const cleanup = new SharedCleanup();
try {
  await execa(process.execPath, [join(import.meta.dirname, 'build.ts')], { stderr: 'inherit' });
  const from = Math.floor(Date.now() / 1_000);
  const pods = await startPods(cleanup);
  const targets = Object.values(pods).map(({ target }) => target);
  const prometheus = await startPrometheus(cleanup, { targets, interval: `${SCRAPE_S}s`, holdFor: '10s' });
  await letThingsHappen(pods, say);
  const to = Math.floor(Date.now() / 1_000);
  const fill = (expr: string): string => withVariables(expr, { rate: `${SCRAPE_S * 4}s`, range: `${to - from}s` });
  const drawn = await drawPage(dashboard(), prometheus, { from, to, step: SCRAPE_S }, fill);
  // Each pod has a folder of its own here; in a cluster they are all called like this.
  const html = Object.values(pods).reduce(
    (text, { sidecar }) => text.replaceAll(`${sidecar.directory}/run/`, '/run/lakebase/'),
    drawn,
  );
  await photograph(html, heightOf(dashboard()), cleanup);
  say(`${PICTURE}: ${Math.round((await stat(PICTURE)).size / 1_024)} KiB`);
} finally {
  await cleanup.undo();
}
