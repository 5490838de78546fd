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

// In the order in which they are named, which `node --test` does not keep.
const [concurrency, ...files] = process.argv.slice(2);
const events = run({ files, concurrency: Number(concurrency) });
events.on('test:summary', ({ success }) => {
  if (!success) process.exitCode = 1;
});
events.compose(spec).pipe(process.stdout);
events.compose(progress).pipe(process.stderr);
