import type { TestEvent } from 'node:test/reporters';

/** A line as soon as a test is over, while the report proper keeps to the order of the files; why it failed in one more. */
// oxlint-disable-next-line import/no-default-export -- what node:test loads
export default async function* progress(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
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
