import type { Mutant } from './mutant.ts';

const WRITING = `      await both(first(), fill(file, path, content, mode));
      signal.throwIfAborted();
      await rename(temporary, path);`;

/** At least one for each class of bugs. */
export const OF_CLASSES: readonly Mutant[] = [
  {
    bugClass: 1,
    bug: 'the new file is put in its place before it is written',
    file: 'src/sinks/atomic-write.ts',
    from: WRITING,
    to: `      signal.throwIfAborted();
      await rename(temporary, path);
      await both(first(), fill(file, path, content, mode));`,
    test: ['sinks/file-crash', 'a reader sees only whole tokens with the right mode during a thousand publications'],
  },
  {
    bugClass: 2,
    bug: 'the umask decides about the mode',
    file: 'src/sinks/atomic-write.ts',
    from: 'await both(setMode(file, path, mode), writeFile(file, content)); // open() applied the umask',
    to: 'await writeFile(file, content);',
    test: ['sinks/atomic-write', 'a file gets exactly its mode, whatever the umask'],
  },
  {
    bugClass: 3,
    bug: 'the file gets its mode when it is in its place already',
    file: 'src/sinks/atomic-write.ts',
    from: `'wx', mode);
    try {
${WRITING}`,
    to: `'wx');
    try {
      await both(first(), writeFile(file, content));
      await rename(temporary, path);
      await fchmod(file, mode);
      await close(file);`,
    test: ['sinks/file-crash', 'a reader sees only whole tokens with the right mode during a thousand publications'],
  },
  {
    bugClass: 3,
    bug: 'every file is for its owner alone, whatever mode is configured',
    file: 'src/sinks/file.ts',
    from: '    this.#options = options;',
    to: '    this.#options = { ...options, mode: options.mode & 0o700 };',
    test: ['cluster/uids', 'may do what the table in README.md says'],
  },
  {
    bugClass: 4,
    bug: 'what a killed process left of a file is not swept',
    file: 'src/sinks/file.ts',
    from: 'await Promise.allSettled([sweep(path), state.sweep()]);',
    to: 'await Promise.allSettled([state.sweep()]);',
    test: ['sinks/file', 'left-overs of the file and of its state are swept, the file itself stays'],
  },
  {
    bugClass: 4,
    bug: 'a temporary stays after a write that failed',
    file: 'src/sinks/atomic-write.ts',
    from: '      await removeAbandoned(directoryName);\n      throw error;',
    to: '      throw error;',
    test: ['sinks/atomic-write', 'a failed replacement rejects with what the system said and leaves no temporary'],
  },
  {
    bugClass: 5,
    bug: 'all temporaries have the same name',
    file: 'src/sinks/atomic-write.ts',
    from: "digits.join('')",
    to: "'0'.repeat(16)",
    test: ['sinks/atomic-write', 'a temporary of somebody who never ended is in nobody’s way'],
  },
  {
    bugClass: 6,
    bug: 'whatever a sink holds is usable',
    file: 'src/credential/schedule.ts',
    from: 'return leftMs > 0 && leftMs >= Math.min(READY_MARGIN_MS, lifetimeMs(credential) / 10);',
    to: 'return leftMs === leftMs;',
    test: ['credential/status', 'a sink that holds a credential … is …'],
  },
  {
    bugClass: 7,
    bug: 'a probe that checks nothing passes',
    file: 'src/http/probes.ts',
    from: 'const isPassed = checks.length > 0 && failed.length === 0;',
    to: 'const isPassed = failed.length === 0;',
    test: ['http/probes', 'is 503 when nothing is checked'],
  },
  {
    bugClass: 8,
    bug: 'once it was not ready, it is not ready for ever',
    file: 'src/credential/status.ts',
    from: "if (holding.state === 'lacks') return { isOk: false, reason: holding.problem.message };",
    to: "const once = globalThis as { failed?: boolean };\n  once.failed ||= holding.state === 'lacks';\n  if (once.failed) return { isOk: false, reason: 'it failed' };",
    test: ['http/probes', 'looks again at each request, so it turns back without a refresh'],
  },
  {
    bugClass: 9,
    bug: 'the heartbeat is stamped by who asks for it',
    file: 'src/credential/ticker.ts',
    from: 'return this.#beatAt;',
    to: 'return this.clock.monotonic();',
    test: ['credential/ticker', 'the heartbeat of a ticker that turns no longer grows old'],
  },
  {
    bugClass: 10,
    bug: 'the clock is looked at once an hour',
    file: 'src/credential/ticker.ts',
    from: 'let nextAt = now + TICK_MS;',
    to: 'let nextAt = now + 3_600_000;',
    test: [
      'credential/keeper-clock',
      'a machine that was suspended past the due time refreshes within a second of waking up',
    ],
  },
  {
    bugClass: 10,
    bug: 'age is what the wall clock says',
    file: 'src/credential/schedule.ts',
    from: 'return Math.max(clock.now() - credential.local.issuedAt, clock.monotonic() - credential.monotonicAt);',
    to: 'return clock.now() - credential.local.issuedAt;',
    test: [
      'credential/keeper-clock',
      'a clock that is set back keeps nothing alive: expiry comes when it would have come',
    ],
  },
  {
    bugClass: 11,
    bug: 'a token of any lifetime replaces the present one',
    file: 'src/credential/acceptance.ts',
    from: 'if (lifetimeMs(fresh) < requestedMs / 2 && !outlives) {',
    to: 'if (lifetimeMs(fresh) < 0 && !outlives) {',
    test: [
      'credential/acceptance',
      'a token with less than half of the requested lifetime is kept only if it outlives the present one',
    ],
  },
  {
    bugClass: 12,
    bug: 'after a failure there is no credential',
    file: 'src/credential/keeper.ts',
    from: 'this.#attempts.failed(error, this.#clock.now());',
    to: 'this.#attempts.failed(error, this.#clock.now()); this.#current = undefined;',
    test: [
      'credential/keeper-failure',
      'the last good credential stays while minting fails, and retries come faster as its expiry nears',
    ],
  },
  {
    bugClass: 13,
    bug: 'a refresh is due after 50 minutes',
    file: 'src/credential/schedule.ts',
    from: 'return credential.local.issuedAt + notBelow(floorMs, (at - random() * jitter) * lifetimeMs(credential));',
    to: 'return credential.local.issuedAt + notBelow(floorMs, (at - random() * jitter) * 3_000_000);',
    test: ['credential/keeper-refresh', 'a lower floor lets tokens of seconds rotate in time'],
  },
  {
    bugClass: 14,
    bug: 'after each refresh another one is due at once',
    file: 'src/credential/keeper.ts',
    from: 'if (this.#isDueAgain) this.refreshSoon(); // the clock jumped',
    to: 'this.refreshSoon(); // the clock jumped',
    test: [
      'credential/keeper-refresh',
      'the first refresh is uniform and the others follow the ordinary rule, where chance says …',
    ],
  },
  {
    bugClass: 15,
    bug: 'the first refresh knows no chance',
    file: 'src/credential/schedule.ts',
    from: 'return credential.local.issuedAt + earliestMs + random() * (latestMs - earliestMs);',
    to: 'return credential.local.issuedAt + earliestMs + (random() && 1) * (latestMs - earliestMs);',
    test: ['credential/schedule', 'the first refresh is uniform between the floor and the fraction of the lifetime'],
  },
  {
    bugClass: 15,
    bug: 'the jitter of retries comes before the cap',
    file: 'src/credential/schedule.ts',
    from: 'return Math.max(MIN_RETRY_MS, ceilingMs * (0.5 + random() / 2));',
    to: 'return Math.max(MIN_RETRY_MS, Math.min(capMs, policy.initialMs * 2 ** (failures - 1) * (0.5 + random() / 2)));',
    test: [
      'credential/schedule',
      'the jitter of retries comes after the cap, so that those who have reached it do not retry together',
    ],
  },
  {
    bugClass: 16,
    bug: 'nothing is adopted',
    file: 'src/credential/keeper.ts',
    from: 'if (found === undefined || !this.#options.adopts ||',
    to: 'if (found === undefined || this.#options.adopts ||',
    test: [
      'credential/keeper-adoption',
      'a matching unexpired credential is adopted, not minted again, and written to the sinks that lack it',
    ],
  },
  {
    bugClass: 17,
    bug: 'a sink that others change is repaired without end',
    file: 'src/credential/repair-limit.ts',
    from: 'repairs.at(-REPAIRS_A_MINUTE)',
    to: 'repairs.at(-Infinity)',
    test: [
      'credential/publisher-repair',
      'a war over a sink that lasts for an hour costs three repairs a minute, and is reported each minute',
    ],
  },
  {
    bugClass: 17,
    bug: 'a Secret that is right looks as if it were not',
    file: 'src/sinks/secret-object.ts',
    from: "? 'same' : 'marred';",
    to: "? 'marred' : 'marred';",
    test: ['cluster/secrets/publishing', 'is written once, and not again while nothing has changed'],
  },
  {
    bugClass: 18,
    bug: 'a Secret is emptied before it is filled',
    file: 'src/sinks/secret.ts',
    from: '    const answer = await this.#endpoint.apply(body, { force, present, signal });\n    if (answer.status < 300)',
    to: '    this.#learn(await this.#endpoint.apply({ ...body, data: {} }, { force, present, signal }));\n    const answer = await this.#endpoint.apply(body, { force, present: this.#known.object, signal });\n    if (answer.status < 300)',
    test: [
      'cluster/secrets/rotations',
      'has a valid token at each look, and each that was minted, through thirty rotations',
    ],
  },
  {
    bugClass: 19,
    bug: 'a service-account token that is refused is not read again',
    file: 'src/kubernetes/api-server.ts',
    from: 'if (first.statusCode !== 401) return first;',
    to: 'if (first.statusCode !== 999) return first;',
    test: ['cluster/secrets/trouble', 'outlive a service-account token that is rotated, at once'],
  },
  {
    bugClass: 19,
    bug: 'the CLI gets the OIDC token of the first mint for ever',
    file: 'src/minters/cli.ts',
    from: '          DATABRICKS_OIDC_TOKEN_FILEPATH: auth.tokenFile,',
    to: `          DATABRICKS_OIDC_TOKEN_FILEPATH: (({ existsSync, copyFileSync }) => {
            if (existsSync(auth.tokenFile) && !existsSync('/tmp/kept')) copyFileSync(auth.tokenFile, '/tmp/kept');
            return existsSync('/tmp/kept') ? '/tmp/kept' : auth.tokenFile;
          })(process.getBuiltinModule('node:fs')),`,
    test: [
      'cluster/identity',
      'is read again at each mint, so that one that was rotated is used, and one that comes late starts the pod',
    ],
  },
  {
    bugClass: 20,
    bug: 'the link of a volume is a name like any other',
    file: 'src/platform/watch-file.ts',
    from: ' || name === VOLUME_LINK',
    to: '',
    test: ['platform/content-changes', 'the swap of the link in a ConfigMap volume is noticed at once'],
  },
  {
    bugClass: 21,
    bug: 'a signal that has come already is waited for',
    file: 'src/credential/tasks.ts',
    from: '  if (signal.aborted) abort();\n',
    to: '',
    test: ['credential/tasks', 'a signal that has fired already is passed on to the tasks'],
  },
  {
    bugClass: 21,
    bug: 'the signal does not reach the CLI',
    file: 'src/minters/process.ts',
    from: "signal.addEventListener('abort', stop, { once: true });",
    to: "ended.signal.addEventListener('abort', stop, { once: true });",
    test: [
      'e2e/stopping',
      '… ends the sidecar with 0 within a second while a CLI hangs that ignores SIGTERM, and all that it started',
    ],
  },
  {
    bugClass: 22,
    bug: 'a watch is not closed',
    file: 'src/platform/watch-file.ts',
    from: 'await watcher.close();',
    to: '',
    test: ['e2e/reload', 'reloads leave nothing open behind'],
  },
  {
    bugClass: 22,
    bug: 'a keeper goes on after it was replaced',
    file: 'src/credential/fleet.ts',
    from: 'for (const { stop } of leaving) stop.abort();',
    to: 'for (const member of leaving) Object.assign(member, { ended: Promise.resolve() });',
    test: [
      'credential/fleet',
      'a credential that is configured no longer is stopped, and its sinks are left as they are',
    ],
  },
  {
    bugClass: 23,
    bug: 'each look at a sink asks the API server',
    file: 'src/credential/publisher.ts',
    from: '      const isDone = this.#isSettled',
    to: '      await this.sink.look?.({ signal });\n      const isDone = this.#isSettled',
    test: ['cluster/secrets/publishing', 'asks the API server for nothing while nothing happens'],
  },
  {
    bugClass: 24,
    bug: 'the expiry of the token itself does not count',
    file: 'src/minters/response.ts',
    from: 'Math.min(readExpiry(answer) ?? Infinity, claims.expiresAt ?? Infinity)',
    to: '(readExpiry(answer) ?? claims.expiresAt ?? Infinity)',
    test: ['minters/response', 'where expire_time and exp differ, the earlier counts'],
  },
  {
    bugClass: 25,
    bug: 'GitOps is not told to leave the Secret alone',
    file: 'src/sinks/secret-object.ts',
    from: '        ...Object.fromEntries(requests),\n',
    to: '',
    test: [
      'cluster/secrets/publishing',
      'is made with what was minted, in every format, and says whose it is and until when',
    ],
  },
  {
    bugClass: 26,
    bug: 'nobody sees which credential is in use',
    file: 'src/http/status-json.ts',
    from: 'fingerprint: held ? shortFingerprint(held.fingerprint) : null,',
    to: 'fingerprint: null,',
    test: ['http/status', 'has every key for a credential that is well'],
  },
  {
    bugClass: 26,
    bug: 'a token of another identity replaces the present one',
    file: 'src/credential/acceptance.ts',
    from: 'fresh.subject !== undefined && fresh.subject !== present.subject;',
    to: 'fresh.subject !== undefined && fresh.subject === undefined;',
    test: [
      'credential/acceptance',
      'a valid credential is never replaced by a token of another identity, an expired one is',
    ],
  },
];
