/** Where it can be shown: the lowest level that really shows it comes first. */
export type Level = 'fake clock' | 'pure' | 'file system' | 'processes' | 'API server' | 'pod';

export interface NamedTest {
  readonly level: Level;
  readonly file: string;
  /** As it stands in the file; `…` for what is filled in. */
  readonly title: string;
}

export interface BugClass {
  readonly number: number;
  readonly bug: string;
  /** Where others have, or had, it. */
  readonly seenIn: string;
  readonly tests: readonly NamedTest[];
}

function at(level: Level, file: string, title: string): NamedTest {
  return { level, file: `test/${file}.test.ts`, title };
}

const reader = at(
  'processes',
  'sinks/file-crash',
  'a reader sees only whole tokens with the right mode during a thousand publications',
);
const kills = at(
  'processes',
  'sinks/file-crash',
  'wherever it is killed, a process leaves whole files, and the next one adopts them and tidies up',
);
const failures = at(
  'file system',
  'sinks/each-step-fails',
  'whichever step of a publication fails, each file holds a token that is on record, nothing else is left, and the next publication goes well',
);
const frugal = at(
  'API server',
  'cluster/secrets/publishing',
  'is written once, and not again while nothing has changed',
);

/** How credentials were lost, in ours and in others' programs, and what would tell of it here. */
export const BUG_CLASSES: readonly BugClass[] = [
  {
    number: 1,
    bug: 'a reader gets half a file',
    seenIn: 'spiffe-helper#422, k8s-sidecar, tbot and others that truncate in place',
    tests: [reader, kills, failures],
  },
  {
    number: 2,
    bug: 'the mode is lost when a file is written again',
    seenIn: 'spiffe-helper#422',
    tests: [at('file system', 'sinks/atomic-write', 'a file gets exactly its mode, whatever the umask'), reader],
  },
  {
    number: 3,
    bug: 'owner or mode is wrong between rename and chown',
    seenIn: 'consul-template',
    tests: [reader, at('pod', 'cluster/uids', 'may do what the table in README.md says')],
  },
  {
    number: 4,
    bug: 'an old secret is left on the disk',
    seenIn: 'consul-template’s `.bak`, orphans of AtomicWriter',
    tests: [
      at('file system', 'sinks/file', 'left-overs of the file and of its state are swept, the file itself stays'),
      at(
        'file system',
        'sinks/atomic-write',
        'a failed replacement rejects with what the system said and leaves no temporary',
      ),
      at('processes', 'e2e/restart', 'what a killed process left half-written is swept at the start'),
    ],
  },
  {
    number: 5,
    bug: 'leftovers of a crash make every later write fail',
    seenIn: 'AtomicWriter’s `..data_tmp`',
    tests: [
      at('file system', 'sinks/atomic-write', 'a temporary of somebody who never ended is in nobody’s way'),
      kills,
    ],
  },
  {
    number: 6,
    bug: 'an expired credential is reported as healthy',
    seenIn: 'spiffe-helper, git-sync, rolesanywhere-credential-helper#200',
    tests: [
      at('pure', 'credential/status', 'a sink that holds a credential … is …'),
      at(
        'processes',
        'e2e/outage',
        'that is longer than a lifetime fails logins after the expiry only, shows in /readyz and not in /healthz, and heals by itself',
      ),
    ],
  },
  {
    number: 7,
    bug: 'health is vacuous: nothing was checked, so nothing failed',
    seenIn: 'spiffe-helper#423',
    tests: [
      at('pure', 'http/probes', 'is 503 when nothing is checked'),
      at(
        'processes',
        'e2e/first-credential',
        '/readyz answers 503 until every file is written and 200 from then on, /healthz 200 all the time',
      ),
    ],
  },
  {
    number: 8,
    bug: 'health stays bad after the recovery',
    seenIn: 'teleport#64418',
    tests: [
      at('pure', 'http/probes', 'looks again at each request, so it turns back without a refresh'),
      at(
        'pure',
        'credential/status',
        'readiness goes by what the sinks hold, not by the newest credential nor by failed refreshes',
      ),
    ],
  },
  {
    number: 9,
    bug: 'the heartbeat is updated by the health check, not by the loop that works',
    seenIn: 'k8s-sidecar#621',
    tests: [
      at('fake clock', 'credential/ticker', 'the heartbeat of a ticker that turns no longer grows old'),
      at('pure', 'credential/status', 'a keeper that is … counts as …'),
    ],
  },
  {
    number: 10,
    bug: 'a suspended machine or a changed clock is not noticed',
    seenIn: 'cloud-sql-proxy#1788, #1199; cloud-sql-nodejs-connector#283',
    tests: [
      at(
        'fake clock',
        'credential/keeper-clock',
        'a machine that was suspended past the due time refreshes within a second of waking up',
      ),
      at('fake clock', 'credential/keeper-clock', 'a clock that is set … makes the credential due within a second'),
      at(
        'fake clock',
        'credential/keeper-clock',
        'a clock that is set back keeps nothing alive: expiry comes when it would have come',
      ),
    ],
  },
  {
    number: 11,
    bug: 'the issuer returns a token about to expire, and it is accepted',
    seenIn: 'cloud-sql-proxy#643',
    tests: [
      at(
        'pure',
        'credential/acceptance',
        'a token with less than half of the requested lifetime is kept only if it outlives the present one',
      ),
      at('fake clock', 'credential/keeper-failure', 'a refused result reaches no sink, and the good one stays'),
    ],
  },
  {
    number: 12,
    bug: 'an error replaces a valid credential',
    seenIn: 'cloud-sql-proxy#521, rolesanywhere-credential-helper#200',
    tests: [
      at(
        'fake clock',
        'credential/keeper-failure',
        'the last good credential stays while minting fails, and retries come faster as its expiry nears',
      ),
      at(
        'processes',
        'e2e/outage',
        'that is shorter than the life left costs nothing: no login fails and /readyz stays 200',
      ),
    ],
  },
  {
    number: 13,
    bug: 'a fixed interval is longer than the lifetime',
    seenIn: 'external-secrets#6690, the cron of 50 minutes',
    tests: [
      at(
        'pure',
        'credential/schedule',
        'a refresh is due at a fraction of the lifetime, sooner by a random part of the jitter',
      ),
      at('fake clock', 'credential/keeper-refresh', 'a lower floor lets tokens of seconds rotate in time'),
    ],
  },
  {
    number: 14,
    bug: 'a credential is refreshed twice, and then not when it is due',
    seenIn: 'external-secrets#2184',
    tests: [
      at(
        'fake clock',
        'credential/keeper-refresh',
        'the first refresh is uniform and the others follow the ordinary rule, where chance says …',
      ),
      at(
        'fake clock',
        'credential/keeper-refresh',
        'the refresh after one that succeeded after failures is uniform in the second half of the period, then ordinary',
      ),
    ],
  },
  {
    number: 15,
    bug: 'a fleet that starts together mints together for ever',
    seenIn: 'cert-manager/csi-lib#47',
    tests: [
      at(
        'pure',
        'credential/schedule',
        'the first refresh is uniform between the floor and the fraction of the lifetime',
      ),
      at(
        'pure',
        'credential/schedule',
        'the jitter of retries comes after the cap, so that those who have reached it do not retry together',
      ),
    ],
  },
  {
    number: 16,
    bug: 'a restart mints although the previous token is still valid',
    seenIn: 'cert-manager/csi-driver#119, vault-secrets-operator#285',
    tests: [
      at(
        'fake clock',
        'credential/keeper-adoption',
        'a matching unexpired credential is adopted, not minted again, and written to the sinks that lack it',
      ),
      at('processes', 'e2e/restart', 'after kill -9 the credential is adopted without a request to the workspace'),
      at(
        'API server',
        'cluster/secrets/publishing',
        'is adopted after a restart: nothing is minted, and nothing written',
      ),
    ],
  },
  {
    number: 17,
    bug: 'a Secret is written again and again, or two owners fight for it',
    seenIn: 'Reloader#1183, cert-manager#6714 (48,000 requests)',
    tests: [
      at(
        'fake clock',
        'credential/publisher-repair',
        'a war over a sink that lasts for an hour costs three repairs a minute, and is reported each minute',
      ),
      at(
        'fake clock',
        'credential/sharing',
        'ten writers mint once for each published token, and none publishes what expires sooner',
      ),
      frugal,
    ],
  },
  {
    number: 18,
    bug: 'a Secret is deleted and created again, and is missing in between',
    seenIn: 'k8s-ecr-login-renew',
    tests: [
      at(
        'API server',
        'cluster/secrets/rotations',
        'has a valid token at each look, and each that was minted, through thirty rotations',
      ),
      at(
        'API server',
        'cluster/secrets/standalone',
        'needs nothing but its roles, for all its Secrets in both namespaces, and its own identity',
      ),
    ],
  },
  {
    number: 19,
    bug: 'the program reads its own service account token only once',
    seenIn: 'k8s-sidecar#372 and others, since Kubernetes lets tokens expire',
    tests: [
      at('API server', 'cluster/secrets/trouble', 'outlive a service-account token that is rotated, at once'),
      at(
        'pod',
        'cluster/identity',
        'is read again at each mint, so that one that was rotated is used, and one that comes late starts the pod',
      ),
    ],
  },
  {
    number: 20,
    bug: 'a watch on a file misses the swap of the link to it',
    seenIn: 'kubernetes#111947, #112677, configmap-reload#190',
    tests: [
      at('file system', 'platform/content-changes', 'the swap of the link in a ConfigMap volume is noticed at once'),
      at('processes', 'e2e/reload', 'the swap of a ConfigMap volume is noticed, the second one too'),
    ],
  },
  {
    number: 21,
    bug: 'a signal is lost because it comes before the process, or its child, is ready for it',
    seenIn: 'spiffe-helper#250',
    tests: [
      at('pure', 'credential/tasks', 'a signal that has fired already is passed on to the tasks'),
      at('processes', 'e2e/stopping', 'a signal that comes before anything is set up ends the sidecar as well'),
      at(
        'processes',
        'e2e/stopping',
        '… ends the sidecar with 0 within a second while a CLI hangs that ignores SIGTERM, and all that it started',
      ),
      at('pod', 'cluster/lifecycle', 'sees the sidecar, as PID 1, end within a second of SIGTERM'),
    ],
  },
  {
    number: 22,
    bug: 'each reload leaks a file, a watch or a timer',
    seenIn: 'consul-template#591',
    tests: [
      at('processes', 'e2e/reload', 'reloads leave nothing open behind'),
      at(
        'fake clock',
        'credential/fleet',
        'a credential that is configured no longer is stopped, and its sinks are left as they are',
      ),
    ],
  },
  {
    number: 23,
    bug: 'coordination keeps the API server busy',
    seenIn: 'controller-runtime#3298, kyverno#15998 and others: leader leases',
    tests: [
      at('API server', 'cluster/secrets/publishing', 'asks the API server for nothing while nothing happens'),
      at(
        'API server',
        'cluster/secrets/standalone',
        'needs nothing but its roles, for all its Secrets in both namespaces, and its own identity',
      ),
    ],
  },
  {
    number: 24,
    bug: 'the token expires before the credential that was made from it, or vice versa',
    seenIn: 'npgsql#5163',
    tests: [
      at('pure', 'minters/response', 'where expire_time and exp differ, the earlier counts'),
      at('processes', 'e2e/identities', "with workload identity nothing that is stored outlives the pod's own token"),
      at('processes', 'e2e/reload', 'a new OIDC token, swapped in by the kubelet, heals a failing credential at once'),
    ],
  },
  {
    number: 25,
    bug: 'GitOps overwrites the Secret',
    seenIn: 'argo-cd#1936, langwatch#4423',
    tests: [
      at(
        'API server',
        'cluster/secrets/publishing',
        'is made with what was minted, in every format, and says whose it is and until when',
      ),
      at(
        'API server',
        'cluster/secrets/publishing',
        'that … is right again within two seconds, with the same token and no mint',
      ),
      at(
        'API server',
        'cluster/secrets/refusals',
        'because another manager … our key is left alone, and the manager and the key are named',
      ),
    ],
  },
  {
    number: 26,
    bug: 'the new credential goes to the wrong place, the old one is revoked, and nobody sees which one is in use',
    seenIn: 'Cloudflare R2, 21 March 2025',
    tests: [
      at('pure', 'http/status', 'has every key for a credential that is well'),
      at(
        'pure',
        'credential/acceptance',
        'a valid credential is never replaced by a token of another identity, an expired one is',
      ),
      at('processes', 'e2e/restart', 'a credential of another endpoint is not adopted but replaced'),
    ],
  },
];
