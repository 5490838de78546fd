/**
 * Why a mint failed (the values of the metric label `reason`), each with what to do about it where nothing more exact
 * is known. The list is closed and documented.
 */
export const MINT_REMEDIES = {
  spawn: 'install the Databricks CLI (1.7.0 or newer) for this architecture, or set minter.cli.command to its path',
  timeout: 'check that the workspace answers from this network, and whether it throttles (429) this service principal',
  auth: 'check the client id and the secret or the federation policy of the service principal',
  permission: 'give the service principal CAN USE on the Lakebase project or instance',
  not_found:
    'check the name: `databricks postgres list-endpoints projects/PROJECT/branches/BRANCH` lists endpoints, `databricks database list-database-instances` instances',
  network: 'check DATABRICKS_HOST, name resolution, proxies and certificates from this network',
  bad_response:
    'check that DATABRICKS_HOST names the workspace itself, with /?o= and its number if others share the host, and no proxy or login page answers for it',
  short_lived: 'check the clock of this machine against the time of the service',
  unknown: 'read the words of the CLI, which `check` shows and the log has as `detail`',
} as const;
export type MintFailure = keyof typeof MINT_REMEDIES;

/** By the code of the system, for programs that cannot be started and files that cannot be written alike. */
export const OPEN_FILES_REMEDIES = {
  EMFILE: 'raise the limit on the open files of the sidecar (ulimit -n)',
  ENFILE: 'find out what has so many files open on this machine, or raise its limit (fs.file-max)',
} as const;

/** Why a sink does not hold the credential, or could not be written, in the same way. */
export const SINK_REMEDIES = {
  missing: 'nothing: it is written as soon as there is a credential; if others delete it, find out who',
  not_a_file: 'remove what is at the path: it must be a regular file, or nothing',
  wrong_mode: 'find out who changes the mode of the file; it is repaired within a second',
  foreign_content:
    'find out who else writes it: two writers need two paths, or two Secrets, and with files in one directory also two names',
  refused: 'mount the directory instead of the single file, and let the path name a regular file in it',
  unwritable: 'make the directory readable and writable for the user the sidecar runs as',
  no_space: 'make room on the volume, or give it a larger size limit',
  no_namespace: 'create the namespace, or correct the namespace of the Secret in the configuration',
  forbidden: 'give the service account of the sidecar a role with the rule that the message in the log shows',
  conflict: 'make the other manager give up these keys, use other keys, or set force: true to take them over',
  unreachable: 'check that the API server answers from this pod; it is written as soon as it does',
  throttled: 'nothing: it is written when the API server has time again; find out who keeps it busy',
  unknown: 'read the log of the sidecar',
} as const;
export type SinkFailure = keyof typeof SINK_REMEDIES;
