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
    'check that DATABRICKS_HOST names the workspace itself (with /?o= and its number, if several workspaces share the host), and that no proxy or login page answers instead of it',
  short_lived: 'check the clock of this machine against the time of the service',
  unknown: 'read the error output of the CLI: `check` prints it, and the log has it as `detail`',
} as const;
export type MintFailure = keyof typeof MINT_REMEDIES;

/** By the code of the system, for programs that cannot be started and files that cannot be written alike. */
export const OPEN_FILES_REMEDIES = {
  EMFILE: 'raise the limit on the open files of the sidecar (ulimit -n)',
  ENFILE: 'find out what has so many files open on this machine, or raise its limit (fs.file-max)',
} as const;

/** Why a sink does not hold the credential, or could not be written, in the same way. */
export const SINK_REMEDIES = {
  missing: 'nothing: it is written as soon as there is a token; if it is deleted repeatedly, find out who does it',
  not_a_file: 'remove what is at the path: the path must be free or a regular file',
  wrong_mode:
    'find out who changes the mode of the file; it is repaired within a second, or, if that happens often, within a minute',
  foreign_content:
    'find out who else writes it: two writers need different paths or Secrets, and, for files in one directory, also different credential names',
  refused: 'mount the directory instead of the single file, and configure the path of a regular file in it',
  unwritable: 'make the directory readable and writable for the user the sidecar runs as',
  no_space: 'make room on the volume, or give it a larger size limit',
  no_namespace: 'create the namespace, or correct the namespace of the Secret in the configuration',
  forbidden: 'give the service account of the sidecar a role with the rule that the message in the log shows',
  conflict:
    'remove these keys from what the other manager applies, use other keys, or set force: true to take them over',
  unreachable: 'check that this pod can reach the API server; the Secret is written as soon as it answers',
  throttled:
    'nothing: it is written when the API server is less busy; if this lasts, find out what overloads the API server',
  unknown: 'read the error message: `check` prints it, and the log has it as `err`',
} as const;
export type SinkFailure = keyof typeof SINK_REMEDIES;
