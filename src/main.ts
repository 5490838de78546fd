import { lastWords, runCli } from './cli.ts';
import { leave, threadsAreIdle } from './platform/leave.ts';
import { stopSignal } from './platform/signals.ts';

const { argv, env } = process;
// A bug in what nobody waits for, such as an event: it ends the process as any other does.
process.on('uncaughtException', (error) => {
  leave(lastWords(error, process));
});
// No top-level await: the bundle's parts are CommonJS (see platform/parts.ts).
void (async () => {
  const exitCode = await runCli({ argv: argv.slice(2), env, streams: process, signal: stopSignal() });
  await threadsAreIdle();
  leave(exitCode);
})();
