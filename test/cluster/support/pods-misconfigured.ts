import { SIDECAR } from './pods.ts';
import type { Overlay } from './pods-overlay.ts';

export type Changes = Partial<Pick<Overlay, 'clientSecret' | 'config' | 'podPatches' | 'settings'>>;

interface Misconfiguration {
  readonly name: string;
  readonly what: string;
  readonly changes: Changes;
  /** How it ends at its start; it goes on trying where there is none. */
  readonly exitCode?: number;
  /** What `kubectl logs` says at once, and `kubectl describe pod` once the container has ended. */
  readonly reason: RegExp;
}

const sidecar = (patch: object): object => ({ initContainers: [{ name: SIDECAR, ...patch }] });
const mounted = (mount: object): object => sidecar({ volumeMounts: [mount] });
/** A program in a file of a ConfigMap, so that it needs no image of its own. */
const command = { config: { minter: { cli: { command: '/cli/databricks' } } } };
const program = (mode: number): object => ({
  ...mounted({ name: 'cli', mountPath: '/cli' }),
  volumes: [{ name: 'cli', configMap: { name: 'programs', defaultMode: mode } }],
});
/** The head of an ELF file for a processor that no cluster has. */
export const FOREIGN_PROGRAM = Buffer.from('7f454c4602010100000000000000000002001600010000007800400000000000', 'hex');

export const MISCONFIGURATIONS: readonly Misconfiguration[] = [
  {
    name: 'secret',
    what: 'a wrong client secret',
    changes: { clientSecret: 'wrong' },
    reason: /refused the client id or its secret/,
  },
  {
    name: 'endpoint',
    what: 'an endpoint that does not exist',
    changes: { settings: { LAKEBASE_ENDPOINT: 'projects/missing/branches/production/endpoints/primary' } },
    reason: /there is no such endpoint.*list-endpoints/,
  },
  {
    name: 'read-only',
    what: 'a volume that is mounted read-only',
    changes: { podPatches: [mounted({ mountPath: '/run/lakebase', readOnly: true })] },
    exitCode: 73,
    reason: /\/run\/lakebase.*EROFS.*uid 10001/,
  },
  {
    name: 'no-volume',
    what: 'no volume at all',
    changes: { podPatches: [mounted({ mountPath: '/run/lakebase', $patch: 'delete' })] },
    exitCode: 73,
    reason: /\/run\/lakebase.*EROFS.*uid 10001/,
  },
  {
    name: 'uid',
    what: 'a directory of another user',
    changes: {
      settings: { LAKEBASE_CREDENTIAL_DIR: '/run/lakebase/others' },
      podPatches: [
        {
          initContainers: [
            helper('maker', { command: ['mkdir', '-m', '700', '/run/lakebase/others'] }, 20_000),
            { name: SIDECAR },
          ],
        },
      ],
    },
    exitCode: 73,
    reason: /\/run\/lakebase\/others.*EACCES.*belongs to uid 20000.*runs as uid 10001/,
  },
  {
    name: 'no-cli',
    what: 'an image without a CLI',
    changes: {
      podPatches: [
        mounted({ name: 'nothing', mountPath: '/usr/local/bin' }),
        { volumes: [{ name: 'nothing', emptyDir: {} }] },
      ],
    },
    exitCode: 69,
    reason: /databricks.*PATH/,
  },
  {
    name: 'no-permission',
    what: 'a CLI that is not executable',
    changes: { ...command, podPatches: [program(0o444)] },
    exitCode: 69,
    reason: /\/cli\/databricks.*not executable/,
  },
  {
    name: 'architecture',
    what: 'a CLI for another architecture',
    changes: { ...command, podPatches: [program(0o555)] },
    reason: /\/cli\/databricks.*(ENOEXEC|architecture)/,
  },
  {
    name: 'no-token',
    what: 'a service-account token that is missing',
    changes: {
      podPatches: [sidecar({ env: [{ name: 'DATABRICKS_OIDC_TOKEN_FILEPATH', value: '/var/run/secrets/none' }] })],
    },
    reason: /the OIDC token file does not exist/,
  },
  {
    name: 'audience',
    what: 'a service-account token for another audience',
    changes: {
      podPatches: [
        {
          volumes: [
            {
              name: 'lakebase-identity',
              projected: {
                sources: [{ serviceAccountToken: { audience: 'other', path: 'token', expirationSeconds: 3600 } }],
              },
            },
          ],
        },
      ],
    },
    reason: /federation policy/,
  },
];

/** A container of another image that has the volume of the files writable. */
export function helper(name: string, container: object, user = 10_001): object {
  return {
    name,
    image: 'registry.example.com/orders:1.0',
    securityContext: {
      runAsUser: user,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [{ name: 'lakebase-credential', mountPath: '/run/lakebase' }],
    ...container,
  };
}
