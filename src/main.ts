#!/usr/bin/env node
import { runCli } from './cli.ts';
import { stopSignal } from './platform/signals.ts';

const { argv, env, stdout, stderr } = process;
const exitCode = await runCli({ argv: argv.slice(2), env, stdout, stderr, signal: stopSignal() });
// oxlint-disable-next-line unicorn/no-process-exit -- a handle that something forgot must not hold up the end of a pod
process.exit(exitCode);
