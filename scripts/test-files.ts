import { text } from 'node:stream/consumers';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';

/** A line as soon as a test is over, while the report proper keeps to the order of the files; why it failed in one more. */
async function* progress(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:complete' || data.name.endsWith('.test.ts')) continue;
    const { passed, duration_ms: durationMs, error } = data.details;
    const verdict = data.skip !== undefined ? 'skipped' : passed ? 'ok' : 'FAILED';
    yield `${new Date().toISOString().slice(11, 19)} ${verdict}: ${data.name} (${(durationMs / 1000).toFixed(1)} s)\n`;
    if (error !== undefined) yield `  ${beginning(error.cause ?? error)}\n`;
  }
}

function beginning(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s+/g, ' ').slice(0, 400);
}

/** Files that start in the order in which they are named, which `node --test` does not keep. */
export interface FileGroup {
  readonly files: readonly string[];
  readonly concurrency: number;
}

const groups = JSON.parse(process.argv[2]!) as FileGroup[];
const reports = groups.map(async ({ files, concurrency }) => {
  const events = run({ files, concurrency });
  events.on('test:summary', ({ success }) => {
    if (!success) process.exitCode = 1;
  });
  events.compose(progress).pipe(process.stderr);
  return await text(events.compose(spec));
});
// Each as a whole, because lines of two would tell nothing.
for (const report of reports) process.stdout.write(await report);
