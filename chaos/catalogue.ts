import type { Directory } from './layout.ts';

/** What cannot be expected while a fault lasts. */
export type Impairment = 'mint' | 'write' | `write to ${Directory}` | 'api' | 'process' | 'login';

/** Faults of one lane never overlap; those of different lanes do. */
export type Lane =
  | 'workspace'
  | 'cli'
  | 'process'
  | 'clock'
  | 'volume'
  | 'disk'
  | 'file'
  | 'config'
  | 'client secret'
  | 'dns'
  | 'postgres'
  | 'Kubernetes'
  | 'Secret'
  | 'pods';

export interface FaultKind {
  readonly lane: Lane;
  /** The shortest and the longest; 0 for what happens in an instant. */
  readonly seconds: readonly [number, number];
  readonly impairs: readonly Impairment[];
  /** What was begun under the fault may still suffer for so long after its end. */
  readonly lingersMs?: number;
  /** How often it is chosen in its lane, against 1. */
  readonly weight?: number;
}

/** Of the configuration that is under test: the longest attempt, and what a CLI that ignores SIGTERM adds to it. */
export const ATTEMPT_MS = 6_000;
const GRACE_MS = 5_000;
/** The CLI retries by itself, or waits, until the deadline of the attempt. */
const ATTEMPT = { lingersMs: ATTEMPT_MS } as const;
const mint = ['mint'] as const;
/** After an outage of four seconds the next watch begins within nine. */
const WATCH = { impairs: ['api'], lingersMs: 10_000 } as const;

export const FAULTS = {
  'the workspace hangs': { lane: 'workspace', seconds: [2, 9], impairs: mint, ...ATTEMPT },
  'the workspace resets connections': { lane: 'workspace', seconds: [2, 8], impairs: mint, ...ATTEMPT },
  'the workspace throttles': { lane: 'workspace', seconds: [2, 8], impairs: mint, ...ATTEMPT },
  'the workspace answers 5xx': { lane: 'workspace', seconds: [2, 9], impairs: mint, ...ATTEMPT },
  'the workspace is away': { lane: 'workspace', seconds: [2, 9], impairs: mint, ...ATTEMPT },
  'the workspace is slow': { lane: 'workspace', seconds: [3, 9], impairs: mint, ...ATTEMPT },
  'the workspace gives nearly dead tokens': { lane: 'workspace', seconds: [4, 10], impairs: mint, weight: 3 },
  'the workspace answers wrong JSON': { lane: 'workspace', seconds: [2, 8], impairs: mint, weight: 2 },
  'the CLI is slow': { lane: 'cli', seconds: [3, 9], impairs: mint, ...ATTEMPT },
  'the CLI hangs and ignores SIGTERM': {
    lane: 'cli',
    seconds: [2, 6],
    impairs: mint,
    lingersMs: ATTEMPT_MS + GRACE_MS,
  },
  'the CLI prints a token and fails': { lane: 'cli', seconds: [2, 6], impairs: mint },
  'the CLI is upgraded': { lane: 'cli', seconds: [1, 3], impairs: mint, weight: 2 },
  'the CLI is killed': { lane: 'cli', seconds: [2, 6], impairs: mint, weight: 2 },
  'the sidecar is killed': { lane: 'process', seconds: [0, 0], impairs: ['process'] },
  'the sidecar is stopped': { lane: 'process', seconds: [0, 0], impairs: ['process'] },
  'the sidecar is suspended': { lane: 'process', seconds: [2, 12], impairs: ['process'], lingersMs: 1_500, weight: 2 },
  'the clock is set forward': { lane: 'clock', seconds: [0, 0], impairs: mint, lingersMs: 2_500 },
  'the clock is set back': { lane: 'clock', seconds: [0, 0], impairs: mint, lingersMs: 2_500 },
  'the disk is full': { lane: 'volume', seconds: [2, 8], impairs: ['write'] },
  'the disk is read-only': { lane: 'volume', seconds: [2, 8], impairs: ['write'] },
  'the directory is closed': { lane: 'volume', seconds: [2, 8], impairs: ['write'] },
  'the directory is removed': { lane: 'volume', seconds: [0, 0], impairs: [] },
  // Of one directory only, so that the other one must not suffer.
  'the disk hangs': { lane: 'disk', seconds: [2, 12], impairs: [], lingersMs: 2_000 },
  'a file is edited': { lane: 'file', seconds: [0, 0], impairs: [] },
  'a file is truncated': { lane: 'file', seconds: [0, 0], impairs: [] },
  'a file is replaced': { lane: 'file', seconds: [0, 0], impairs: [] },
  'a file is removed': { lane: 'file', seconds: [0, 0], impairs: [] },
  'a file gets another mode': { lane: 'file', seconds: [0, 0], impairs: [] },
  'a state file is damaged': { lane: 'file', seconds: [0, 0], impairs: [] },
  'the configuration is changed': { lane: 'config', seconds: [2, 10], impairs: [] },
  'the configuration is broken': { lane: 'config', seconds: [2, 8], impairs: [] },
  'the client secret is rotated': { lane: 'client secret', seconds: [0.5, 6], impairs: mint },
  'DNS is gone': { lane: 'dns', seconds: [2, 8], impairs: mint },
  'PostgreSQL restarts': { lane: 'postgres', seconds: [0.5, 2], impairs: ['login'], lingersMs: 2_000 },
  'the API server is away': { lane: 'Kubernetes', seconds: [1, 4], ...WATCH },
  'the API server hangs': { lane: 'Kubernetes', seconds: [1, 4], ...WATCH },
  'the API server is slow': { lane: 'Kubernetes', seconds: [2, 6], impairs: ['api'], lingersMs: 2_000 },
  'etcd hangs': { lane: 'Kubernetes', seconds: [1, 4], ...WATCH },
  'connections to the API server are lost': { lane: 'Kubernetes', seconds: [0, 0], impairs: ['api'], lingersMs: 2_500 },
  'the role is taken away': { lane: 'Kubernetes', seconds: [1, 4], ...WATCH },
  'the Secret is edited': { lane: 'Secret', seconds: [0, 0], impairs: [] },
  'the Secret is deleted': { lane: 'Secret', seconds: [0, 0], impairs: [] },
  'the Secret loses its annotations': { lane: 'Secret', seconds: [0, 0], impairs: [] },
  'the Secret is replaced': { lane: 'Secret', seconds: [1, 4], impairs: ['api'], lingersMs: 3_000 },
  'the Secret is immutable': { lane: 'Secret', seconds: [1, 4], impairs: ['api'], lingersMs: 3_000 },
  'another pod publishes': { lane: 'pods', seconds: [4, 15], impairs: [] },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULTS;

export function kindOf(name: FaultName): FaultKind {
  return FAULTS[name];
}
