import type { Mutant } from './mutants.ts';

/** Bugs of no class, in the files on which most depends. */
export const BEYOND: readonly Mutant[] = [
  {
    bug: 'a refresh is drawn later than the fraction of the lifetime',
    file: 'src/credential/schedule.ts',
    from: '(at - random() * jitter)',
    to: '(at + random() * jitter)',
    test: [
      'credential/schedule',
      'a refresh is due at a fraction of the lifetime, sooner by a random part of the jitter',
    ],
  },
  {
    bug: 'a retry does not know that life is short',
    file: 'src/credential/schedule.ts',
    from: 'isAlive(leftMs) ? leftMs / 4 : MAX_RETRY_WITHOUT_CREDENTIAL_MS',
    to: 'isAlive(leftMs) ? leftMs : MAX_RETRY_WITHOUT_CREDENTIAL_MS',
    test: [
      'credential/schedule',
      'a retry waits for half to all of the doubled delay, capped by the maximum and a quarter of the life left',
    ],
  },
  {
    bug: 'an attempt may take all the life that is left',
    file: 'src/credential/schedule.ts',
    from: 'Math.max(MIN_ATTEMPT_MS, leftMs / 3)',
    to: 'Math.max(MIN_ATTEMPT_MS, leftMs)',
    test: [
      'credential/schedule',
      'an attempt lasts at most its timeout and a third of the life left, but at least 5 s',
    ],
  },
  {
    bug: 'a new secret waits for the back-off',
    file: 'src/credential/keeper.ts',
    from: 'if (this.#attempts.failures > 0) this.refreshSoon();',
    to: 'if (this.#attempts.failures > 1) this.refreshSoon();',
    test: ['credential/keeper-failure', 'a new secret is tried at once if the last attempt failed'],
  },
  {
    bug: 'only the first expiry is told of',
    file: 'src/credential/expiry.ts',
    from: 'this.#onExpired();',
    to: 'this.#onExpired();\n        await new Promise(() => {});',
    test: ['credential/keeper-failure', 'each expiry is reported'],
  },
  {
    bug: 'the skew of the clock is forgotten',
    file: 'src/credential/keeper.ts',
    from: 'this.#skewMs = skewOf(credential);',
    to: '',
    test: [
      'credential/sharing',
      'what another writer publishes is as old as the clock of the service says, by the last mint',
    ],
  },
  {
    bug: 'a new credential ends the wait that a server has asked for',
    file: 'src/credential/publisher.ts',
    from: '    this.#retryAt = this.#notBefore;\n    this.#alarm.ring();',
    to: '    this.#retryAt = 0;\n    this.#alarm.ring();',
    test: [
      'credential/publisher',
      'the next credential waits, without turning a loop, where no write is worth trying yet',
    ],
  },
  {
    bug: 'what the cluster made of a Secret is taken for what was applied',
    file: 'src/sinks/secret.ts',
    from: "=== 'same') return;",
    to: "!== 'never') return;",
    test: [
      'sinks/secret-answers',
      'what the cluster makes of a Secret on its way is no success, and says where to look',
    ],
  },
  {
    bug: 'the next credential waits for the back-off of the one before',
    file: 'src/credential/publisher.ts',
    from: '    this.#retryAt = this.#notBefore;\n    this.#alarm.ring();',
    to: '    this.#alarm.ring();',
    test: [
      'credential/publisher',
      'the next credential is tried at once, whatever the back-off, also one that is not new',
    ],
  },
  {
    bug: 'a sink is written without a look at what it holds',
    file: 'src/credential/publisher.ts',
    from: 'if (held !== undefined && (isHeld ?',
    to: 'if (held === undefined && (isHeld ?',
    test: ['credential/publisher', 'a credential is written once, and not again while it stands there'],
  },
  {
    bug: 'what an earlier process left is taken for new, and written again',
    file: 'src/credential/keeper.ts',
    from: 'publish(adopted, { isNew: false })',
    to: 'publish(adopted, { isNew: true })',
    test: [
      'credential/keeper-adoption',
      'a matching unexpired credential is adopted, not minted again, and written to the sinks that lack it',
    ],
  },
  {
    bug: 'who writes beside the file fast enough holds everything up',
    file: 'src/platform/watch-file.ts',
    from: 'const STORM_EVENTS = 2_000;',
    to: 'const STORM_EVENTS = Infinity;',
    test: [
      'platform/watch-file',
      'a storm of changes beside the file holds nothing up, and the watch goes on after it',
    ],
  },
  {
    bug: 'a watch that fires is no reason to try again',
    file: 'src/credential/publisher.ts',
    from: 'this.#hasChanged && now - this.#triedAt >= INSPECTION_MS',
    to: 'this.#hasChanged && now - this.#triedAt >= Infinity',
    test: ['credential/publisher', 'a failing write is tried at once when the watch fires, at most once a second'],
  },
  {
    bug: 'an expired token is taken where there is none',
    file: 'src/credential/acceptance.ts',
    from: 'if (!(leftMs > 0)) {',
    to: 'if (!(leftMs > 0) && present !== undefined) {',
    test: [
      'credential/acceptance',
      'a token that is already expired is refused, whatever is present, and the clock is named as the reason',
    ],
  },
  {
    bug: 'a credential from the future is adopted',
    file: 'src/credential/acceptance.ts',
    from: 'credential.local.issuedAt <= clock.now() + FUTURE_TOLERANCE_MS && ',
    to: '',
    test: [
      'credential/acceptance',
      'a credential issued in the future is not adopted, but for what two readings of a clock may differ',
    ],
  },
  {
    bug: 'what a clock that was set back made seem of the future is given up for a nearly dead token',
    file: 'src/credential/keeper.ts',
    from: 'this.#takeOver(this.#publishers.reconsider(skewOf(credential)), credential)',
    to: 'this.#publishers.reconsider(skewOf(credential))',
    test: [
      'credential/keeper-adoption',
      'a clock that was set back before the start does not make a nearly dead token replace one that lives longer',
    ],
  },
  {
    bug: 'which of two credentials expires first is told by a clock that may have been set between them',
    file: 'src/credential/schedule.ts',
    from: 'return credential.service.expiresAt > other.service.expiresAt;',
    to: 'return credential.local.expiresAt > other.local.expiresAt;',
    test: [
      'credential/status',
      'the weakest is so by the service, though this clock was set back before the other one was minted',
    ],
  },
  {
    bug: 'whoever writes a Secret decides how long its token lives',
    file: 'src/credential/acceptance.ts',
    from: 'Math.min(found.service.expiresAt - found.service.issuedAt, LONGEST_LIFETIME_MS)',
    to: 'found.service.expiresAt - found.service.issuedAt',
    test: [
      'credential/acceptance',
      'no credential from elsewhere is believed to live longer than the service lets any live',
    ],
  },
  {
    bug: 'the earliest-expiring of what was left is adopted',
    file: 'src/credential/acceptance.ts',
    from: 'expiresLater(credential, best) ? credential : best',
    to: 'expiresLater(best, credential) ? credential : best',
    test: [
      'credential/acceptance',
      'of what earlier processes left, the latest-expiring that is still valid is adopted',
    ],
  },
  {
    bug: 'an abort comes too late to keep the old file',
    file: 'src/sinks/atomic-write.ts',
    from: '      signal?.throwIfAborted();\n      await rename(temporary, path);',
    to: '      await rename(temporary, path);\n      signal?.throwIfAborted();',
    test: ['sinks/atomic-write', 'an abort before the rename keeps the old file and leaves no temporary'],
  },
  {
    bug: 'readers get a token before it is on record',
    file: 'src/sinks/atomic-write.ts',
    from: 'await both(first(), fill(file, content, mode));',
    to: 'await fill(file, content, mode);\n      void first().catch(() => {});',
    test: [
      'sinks/atomic-write',
      'what must be done first is done beside the writing, and before readers see any of it',
    ],
  },
  {
    bug: 'a CLI goes on when the sidecar ends in a hurry',
    file: 'src/minters/process.ts',
    from: "  for (const child of running) child.kill('SIGKILL');",
    to: '',
    test: ['e2e/stopping', 'a second … ends the sidecar at once with …, and all that the CLI started'],
  },
  {
    bug: 'a temporary that could not be removed at once stays',
    file: 'src/sinks/atomic-write.ts',
    from: '    await removeAbandoned(directoryName);\n    await syncDirectory(directory);',
    to: '    await syncDirectory(directory);',
    test: ['sinks/atomic-write', 'a temporary in a directory that was closed meanwhile goes with the next replacement'],
  },
  {
    bug: 'which token outlives the other is for this machine to say',
    file: 'src/credential/acceptance.ts',
    from: 'const outlives = expiresLater(fresh, present);',
    to: 'const outlives = leftMs > remainingMs(present, clock);',
    test: [
      'credential/acceptance',
      'which of two tokens outlives the other is for the service to say: this machine knows only when it asked',
    ],
  },
  {
    bug: 'a token that lives for seconds replaces a good one that a clock set forward makes seem expired',
    file: 'src/credential/acceptance.ts',
    from: 'if (lifetimeMs(fresh) < requestedMs / 2 && !outlives) {',
    to: 'if (remainingMs(present, clock) > 0 && lifetimeMs(fresh) < requestedMs / 2 && !outlives) {',
    test: [
      'credential/keeper-clock',
      'after the clock was set forward, what lives for seconds does not replace what only seems to have expired',
    ],
  },
  {
    bug: 'what others call a temporary is swept too',
    file: 'src/sinks/atomic-write.ts',
    from: 'const TEMPORARY_ENDING = /^\\.[0-9a-f]{16}\\.tmp$/;',
    to: 'const TEMPORARY_ENDING = /\\.[0-9a-f]{16}\\.tmp$/;',
    test: ['sinks/atomic-write', 'a sweep removes the left-overs of exactly its target'],
  },
  {
    bug: 'the directory is not fsynced',
    file: 'src/sinks/atomic-write.ts',
    from: '    await syncDirectory(directory);\n',
    to: '',
    test: ['sinks/atomic-write', 'a file and its directory are on the disk, in this order, before the end is told'],
  },
  {
    bug: 'the file is not fsynced before it is in its place',
    file: 'src/sinks/atomic-write.ts',
    from: '    await fsync(file);\n',
    to: '',
    test: ['sinks/atomic-write', 'a file and its directory are on the disk, in this order, before the end is told'],
  },
  {
    bug: 'a probe that failed answers 200',
    file: 'src/http/probes.ts',
    from: 'status: isPassed ? 200 : 503',
    to: 'status: isPassed ? 200 : 200',
    test: ['http/probes', 'is 503 when one check fails, and says which'],
  },
  {
    bug: 'a stuck keeper counts as alive',
    file: 'src/credential/status.ts',
    from: 'if (!isMinting && overdueMs >= OVERDUE_MS) {',
    to: 'if (isMinting && overdueMs >= OVERDUE_MS) {',
    test: ['credential/status', 'a keeper that is … counts as …'],
  },
  {
    bug: 'a colon is not escaped in a password file',
    file: 'src/sinks/render.ts',
    from: String.raw`replaceAll(/[\\:]/g,`,
    to: String.raw`replaceAll(/[\\]/g,`,
    test: ['fuzz/escaping', 'node-postgres logs in as the user and with the token of a password file'],
  },
  {
    bug: 'a quote ends a value for the shell',
    file: 'src/sinks/render.ts',
    from: "return `'${value.replaceAll(`'`, `'\\\\''`)}'`;",
    to: "return `'${value}'`;",
    test: ['fuzz/escaping', 'a shell that reads env files gets every value as it was'],
  },
  {
    bug: 'a reserved character stands in a uri as it is',
    file: 'src/sinks/render.ts',
    from: 'return encodeURIComponent(text).replaceAll(',
    to: 'return text.replaceAll(',
    test: [
      'fuzz/escaping',
      'the token is found again in every format, and a reader of URLs finds all parts of the uri',
    ],
  },
  {
    bug: 'a token with a line break is taken',
    file: 'src/minters/response.ts',
    from: 'const TOKEN = /^[!-~]+$/;',
    to: 'const TOKEN = /[!-~]+/;',
    test: ['minters/response', '… is a bad response, and the error has nothing of it'],
  },
  {
    bug: 'a secret that is known is blotted out only if it is whole',
    file: 'src/minters/scrub.ts',
    from: 'const least = Math.min(value.length, MIN_PIECE_LENGTH);',
    to: 'const least = value.length;',
    test: ['fuzz/minting', 'no piece of a secret that is known gets through the words of the CLI, and they stay short'],
  },
  {
    bug: 'whatever is answered is taken for a Secret',
    file: 'src/sinks/secret-object.ts',
    from: 'return isWellFormed ? (value as unknown as SecretObject) : undefined;',
    to: 'return value as unknown as SecretObject;',
    test: ['kubernetes/strangers', 'what a proxy answers in the place of the API server is no Secret, whatever it is'],
  },
  {
    bug: 'a watch that ends at once is a good one',
    file: 'src/kubernetes/watch.ts',
    from: 'if (!isProven) throw endedAtOnce();',
    to: '',
    test: ['kubernetes/watch', 'watches that … are trouble, and are tried again later and later, until one lasts'],
  },
  {
    bug: 'an older token of ours that cannot be replaced is none',
    file: 'src/credential/publisher.ts',
    from: 'if (!this.isShared && isPlausible(credential, this.#clock)) this.#held ??= credential;',
    to: '',
    test: [
      'credential/keeper-adoption',
      'an older credential that a sink cannot be rid of still counts for as long as it lives',
    ],
  },
  {
    bug: 'what a predecessor held waits for a sink that says nothing',
    file: 'src/credential/keeper.ts',
    from: `if (adopts && inherited !== undefined && remainingMs(inherited, this.#clock) > 0) this.#use(inherited);
    this.#takeOver(await this.#publishers.recover({ signal }));`,
    to: `const found = await this.#publishers.recover({ signal });
    if (adopts && inherited !== undefined && remainingMs(inherited, this.#clock) > 0) this.#use(inherited);
    this.#takeOver(found);`,
    test: [
      'credential/keeper-adoption',
      'what a predecessor held is served at once, also while a sink does not tell what it holds',
    ],
  },
  {
    bug: 'a sweep takes what is being written',
    file: 'src/sinks/atomic-write.ts',
    from: 'if (unfinished.has(temporary)) continue;',
    to: '',
    test: [
      'sinks/atomic-write',
      'a sweep leaves alone what this process is writing, such as the record that the files of a credential share',
    ],
  },
  {
    bug: 'a namespace that takes no events silences all',
    file: 'src/kubernetes/events.ts',
    from: 'if (now - (refusedAt.get(secret.namespace) ?? -Infinity) < REFUSED_MS) return;',
    to: 'if (refusedAt.size > 0) return;',
    test: [
      'kubernetes/events',
      'a namespace that takes no events silences no other one, and is asked again after an hour',
    ],
  },
  {
    bug: 'whatever is no success silences the events of a namespace',
    file: 'src/kubernetes/events.ts',
    from: 'if (answer.status !== 403) return;',
    to: 'if (answer.status < 300) return;',
    test: [
      'kubernetes/events',
      'an answer that is no refusal silences nothing: a token that just expired, an API server in trouble',
    ],
  },
  {
    bug: 'what was adopted waits for its turn behind what was never minted',
    file: 'src/credential/keeper.ts',
    from: 'this.#attempts.failures > 0 || this.#current === undefined',
    to: 'this.#attempts.failures > 0 || this.#attempts.summary.lastAttemptAt === undefined',
    test: [
      'credential/isolation',
      'nor after a restart, when all of them are adopted and due while three hang from the beginning',
    ],
  },
  {
    bug: 'who has no credential always goes first',
    file: 'src/credential/keeper.ts',
    from: 'wantedAt: this.#clock.monotonic() + turnWithinMs(this.#leftMs())',
    to: 'wantedAt: this.#leftMs() ?? -Infinity + turnWithinMs(0)',
    test: [
      'credential/isolation',
      'six commands that always hang keep nobody from the next token who hung with them for a while, with slots: …',
    ],
  },
];
