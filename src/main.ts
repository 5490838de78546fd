import { lastWords, runCli } from './cli.ts';
import { stopSignal } from './platform/signals.ts';

const { argv, env } = process;
// A bug in what nobody waits for, such as an event: it ends the process as any other does.
process.on('uncaughtException', (error) => {
  // oxlint-disable-next-line unicorn/no-process-exit -- nothing can be relied on any more
  process.exit(lastWords(error, process));
});
// No top-level await: the bundle's parts are CommonJS (see platform/parts.ts).
void (async () => {
  const exitCode = await runCli({ argv: argv.slice(2), env, streams: process, signal: stopSignal() });
  // oxlint-disable-next-line unicorn/no-process-exit -- a handle that something forgot must not hold up the end of a pod
  process.exit(exitCode);
})();
