import hooks from 'node:async_hooks';
import fs from 'node:fs';

// The runner follows every promise, to know which test a stray error is of, and that takes most of the time of tests in which
// keepers wait for days. Without it such an error fails the file. Loaded by `--import`, so that it is there before the runner.
const { createHook } = hooks;
hooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });

// As a sidecar does (platform/threads.ts): where no thread was woken for a file, a test would wait for it for ever.
const { access } = fs;
setInterval(() => access('/', () => {}), 1_000).unref();
