import { tmpdir } from 'node:os';
import { styleText } from 'node:util';
import { formatDuration } from '../config/duration.ts';
import { addressOf, identityOf, isSentInClear } from '../config/identity.ts';
import type { Config, CredentialConfig } from '../config/load.ts';
import { requireBetter } from '../credential/acceptance.ts';
import type { Auth } from '../credential/auth.ts';
import { readClaims } from '../credential/claims.ts';
import { oneLine, wholeSeconds } from '../credential/display.ts';
import { CliError, ConfigError, issueText, MintError, SinkError } from '../credential/errors.ts';
import { labelOf } from '../credential/label.ts';
import { noAnswerOf } from '../credential/patient-look.ts';
import { type Cancellable, type Credential, LONGEST_LIFETIME_MS, type Sink } from '../credential/ports.ts';
import { lifetimeMs, provenSkewMs } from '../credential/schedule.ts';
import { within } from '../credential/tasks.ts';
import { DatabricksCli } from '../minters/cli.ts';
import { CommandMinter } from '../minters/command.ts';
import { PrivateHomes } from '../minters/homes.ts';
import { readFile } from '../minters/identity-files.ts';
import { complaintAbout, INSTALL_NEWER, readCliVersion } from '../minters/version.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { findCommand } from '../platform/find-command.ts';
import { sinkBuilder } from '../sinks.ts';
import { placeOf } from '../sinks/directory.ts';
import { isShortForVolumes } from './short-ttl.ts';

/** Far longer than a network volume that is slow takes. */
const EXAMINE_MS = 5_000;

export interface CheckOptions extends Cancellable {
  /** @throws ConfigError */
  readonly load: () => Promise<Config>;
  readonly stdout: NodeJS.WriteStream;
}

interface Finding {
  readonly isOk: boolean;
  readonly text: string;
  /** The one thing to do. */
  readonly remedy?: string | undefined;
  /** The CLI's own words, scrubbed. */
  readonly detail?: string | undefined;
}

/**
 * Tries everything but the port, which a running sidecar has, and keeps nothing. Prints one line for each check, and under each
 * failure what to do. Tells whether all is well.
 */
export async function check({ load, stdout, signal }: CheckOptions): Promise<boolean> {
  const report = new Report(stdout);
  const config = await load().catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    for (const issue of error.issues) report.add('configuration', { isOk: false, text: issueText(issue) });
  });
  if (config === undefined) return report.finish();
  const { auth, credentials } = config;
  const { sinks } = await sinkBuilder(config);
  report.add('configuration', { isOk: true, text: describeConfiguration(config) });
  report.add('identity', { isOk: true, text: describeIdentity(auth) });
  const cli = await checkCli(config, { signal });
  report.add('cli', cli);
  const fit = new Set<string>();
  for (const credential of credentials) {
    if (cli.isOk) report.add(`${credential.name} mint`, await checkMint(credential, config, { signal }));
    for (const sink of sinks(credential, identityOf(auth, credential.resource.name))) {
      const finding = await checkSink(sink, { signal });
      report.add(`${credential.name} ${sink.name}`, finding);
      if (finding.isOk) fit.add(sink.name);
    }
  }
  await checkPlaces(credentials, fit, report);
  return report.finish();
}

class Report {
  readonly #stdout: NodeJS.WriteStream;
  #failed = 0;
  #count = 0;

  constructor(stdout: NodeJS.WriteStream) {
    this.#stdout = stdout;
  }

  add(name: string, { isOk, text, remedy, detail }: Finding): void {
    this.#count += 1;
    if (!isOk) this.#failed += 1;
    const mark = isOk ? this.#style('green', '✓ ok  ') : this.#style('red', '✗ fail');
    this.#stdout.write(`${mark} ${this.#style('bold', name)}: ${text}\n`);
    if (remedy !== undefined) this.#stdout.write(`       → ${remedy}\n`);
    if (detail !== undefined) this.#stdout.write(`       ${this.#style('dim', `the CLI said: ${detail}`)}\n`);
  }

  finish(): boolean {
    const summary =
      this.#failed === 0 ? `all ${this.#count} checks passed` : `${this.#failed} of ${this.#count} checks failed`;
    this.#stdout.write(`${this.#style(this.#failed === 0 ? 'green' : 'red', summary)}\n`);
    return this.#failed === 0;
  }

  /** Only where the terminal has colour. */
  #style(format: 'green' | 'red' | 'bold' | 'dim', text: string): string {
    return styleText(format, text, { stream: this.#stdout });
  }
}

function describeConfiguration({ configFile, credentials, unknownVariables }: Config): string {
  const names = credentials.map(({ name }) => name).join(', ');
  const unknown = unknownVariables.length === 0 ? '' : `; unknown variables ignored: ${unknownVariables.join(', ')}`;
  return `${configFile ?? 'from the environment'}: ${names}${unknown}`;
}

function describeIdentity(auth: Auth): string {
  const inClear = isSentInClear(auth)
    ? '; sent without TLS: use https://, unless something on the network path adds TLS'
    : '';
  return `${describePrincipal(auth)}${inClear}`;
}

function describePrincipal(auth: Auth): string {
  switch (auth.kind) {
    case 'file-oidc':
      return `workload identity of client ${auth.clientId} with the token in ${auth.tokenFile}${describeToken(auth.tokenFile)}, at ${addressOf(auth)}`;
    case 'oauth-m2m':
      return `client ${auth.clientId} with a secret ${'file' in auth.secret ? `in ${auth.secret.file}` : 'from a variable'}, at ${addressOf(auth)}`;
    case 'profile': {
      const { configFile, host, profile, workspaceId } = auth;
      const place =
        host === undefined ? workspaceId && `the workspace ${workspaceId}` : addressOf({ host, workspaceId });
      return `profile ${profile} of ${configFile}${place === undefined ? '' : `, at ${place}`}`;
    }
    case 'pat':
      return `a personal access token, at ${addressOf(auth)}`;
    default:
      return auth satisfies never;
  }
}

/** What a federation policy has to name. What is wrong with the file itself, the mint says. */
function describeToken(file: string): string {
  const { issuer, subject, audience } = readClaims(textOf(file));
  const isWhole = issuer !== undefined && subject !== undefined && audience !== undefined;
  return isWhole ? ` ${oneLine(`(issuer ${issuer}, subject ${subject}, audience ${audience})`)}` : '';
}

function textOf(file: string): string {
  try {
    return readFile(file);
  } catch {
    return '';
  }
}

async function checkCli({ minter, childEnvironment, credentials }: Config, options: Cancellable): Promise<Finding> {
  try {
    const command = findCommand(minter.cli.command, childEnvironment);
    const version = await readCliVersion({ command, childEnvironment, clock }, options);
    const complaint = complaintAbout(
      version,
      credentials.some(({ ttl }) => ttl !== undefined),
    );
    if (complaint !== undefined) return { isOk: false, text: `${command}: ${complaint}`, remedy: INSTALL_NEWER };
    return { isOk: true, text: `${command} ${version}` };
  } catch (error) {
    if (error instanceof CliError) return { isOk: false, text: error.problem, remedy: error.remedy };
    if (error instanceof MintError) return { isOk: false, text: error.message, remedy: error.remedy };
    throw error;
  }
}

/** The token is thrown away. */
async function checkMint(
  credential: CredentialConfig,
  { auth, childEnvironment, minter }: Config,
  { signal }: Cancellable,
): Promise<Finding> {
  const { resource, ttl: ttlMs } = credential;
  const homes = new PrivateHomes(tmpdir());
  const { command, timeout: timeoutMs } = minter.cli;
  const cli = new DatabricksCli({ command, auth, childEnvironment, homes, clock });
  try {
    const startedAt = clock.monotonic();
    const minted = await new CommandMinter(cli, { resource, ttlMs }, clock).mint({ signal, slot: 0, timeoutMs });
    requireBetter(minted, undefined, { requestedMs: ttlMs ?? LONGEST_LIFETIME_MS, isShared: false }, clock);
    const advice = isShortForVolumes(credential) ? '; for a Secret volume, use a ttl of at least 15m' : '';
    const skewMs = provenSkewMs(minted, clock.monotonic() - startedAt);
    return { isOk: true, text: `${describeCredential(minted, skewMs)}${advice}` };
  } catch (error) {
    if (!(error instanceof MintError)) throw error;
    return { isOk: false, text: `${error.message} (${error.failure})`, remedy: error.remedy, detail: error.detail };
  } finally {
    homes.remove();
  }
}

function describeCredential(minted: Credential, skewMs: number): string {
  const apart = wholeSeconds(Math.abs(skewMs));
  const skew = apart < 5 ? '' : `; the clocks differ by ${apart} s, which is compensated for`;
  return `a token that is valid for ${formatDuration(lifetimeMs(minted))}, discarded${skew}`;
}

async function checkSink(sink: Sink, options: Cancellable): Promise<Finding> {
  try {
    const examining = sink.examine(options);
    // Who asks an API server has deadlines of his own.
    const text = sink.kind === 'file' ? await within(EXAMINE_MS, examining, { ...options, clock }) : await examining;
    if (text === undefined) throw noAnswerOf(sink.name);
    return { isOk: true, text };
  } catch (error) {
    if (!(error instanceof SinkError)) throw error;
    return { isOk: false, text: error.message, remedy: error.remedy };
  }
}

/** Two paths of one file are no mistake in the text of a configuration; but each would overwrite what the other has written. */
async function checkPlaces(
  credentials: readonly CredentialConfig[],
  fit: ReadonlySet<string>,
  report: Report,
): Promise<void> {
  const seen = new Map<string, string>();
  for (const { name, sinks } of credentials) {
    for (const { path } of sinks.filter((sink) => sink.kind === 'file')) {
      if (!fit.has(labelOf({ kind: 'file', path }))) continue; // it may hang
      const place = await placeOf(path).catch(() => path); // a directory may go meanwhile
      const other = seen.get(place);
      seen.set(place, path);
      if (other === undefined) continue;
      const text = `is the same file as ${other}: its directory is a link to the other one, or mounted twice`;
      report.add(`${name} file:${path}`, { isOk: false, text, remedy: 'configure a different file for each' });
    }
  }
}
