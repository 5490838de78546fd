import { constants } from 'node:os';
import type { Part } from './parts.ts';
import type { Report } from './report.ts';
import { Scene } from './scene.ts';
import { say, type Extent } from './table.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** One part after the other. Whatever a signal interrupts is cleaned up before the process ends. */
export async function runParts<Name extends string>(
  parts: Readonly<Record<Name, Pick<Part, 'measure'>>>,
  extent: Extent,
  onResult: (name: Name, report: Report) => Promise<void>,
): Promise<void> {
  let scene: Scene | undefined;
  let interruption: Promise<void> | undefined;
  const interrupt = (signal: (typeof SIGNALS)[number]): void => {
    interruption ??= (async () => {
      say(`\ninterrupted by ${signal}: cleaning up`);
      await scene?.close();
      process.exit(128 + constants.signals[signal]);
    })();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  try {
    for (const [name, { measure }] of Object.entries<Pick<Part, 'measure'>>(parts)) {
      say(`\n==> ${name}`);
      const startedAt = performance.now();
      scene = await Scene.create();
      try {
        await measure(scene, extent);
        await onResult(name as Name, scene.report);
      } finally {
        await scene.close();
      }
      say(`\n(${name} took ${Math.round((performance.now() - startedAt) / 1_000)} s)`);
    }
  } catch (error) {
    // What was measured has lost its processes: that is what it fails with, and no news.
    if (interruption === undefined) throw error;
    await interruption;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}
