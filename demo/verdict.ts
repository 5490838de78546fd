import type { Reader } from './reader.ts';
import { inSeconds, type Scene } from './scene.ts';
import { DATABASE, type Props, type Stage } from './stage.ts';

export interface Verdict {
  readonly facts: readonly string[];
  /** What did not go as promised; empty where everything held. */
  readonly complaints: readonly string[];
}

export function judge(scene: Scene, pgpass: Reader, readOnce: Reader): Verdict {
  const { elapsedMs, looks, outage, readyLooks, rotations, tokenLifetimeMs, wantedRotations } = scene;
  const refusal = readOnce.firstRefusal;
  const complaints = [
    pgpass.refusals > 0 && `the pgpass reader was refused: ${pgpass.firstRefusal?.message}`,
    rotations < wantedRotations && `${rotations} rotations instead of ${wantedRotations}`,
    refusal === undefined && 'the read-once reader was never refused',
    refusal !== undefined && !refusal.detail?.includes('expired') && `the read-once reader: ${refusal.message}`,
    outage?.hasFileStayed !== true && 'the pgpass file did not stay as it was during the outage',
  ].filter((complaint) => typeof complaint === 'string');
  const lockedOut = refusal === undefined ? '' : `, locked out after ${inSeconds(refusal.afterMs)}`;
  const downMs = (outage?.endedAtMs ?? 0) - (outage?.beganAtMs ?? 0);
  const facts = [
    `rotations          ${rotations} in ${inSeconds(elapsedMs)}; each token is valid for ${inSeconds(tokenLifetimeMs)}`,
    `pgpass reader      ${count(pgpass)}`,
    `read-once reader   ${count(readOnce)}${lockedOut}`,
    `outage             ${inSeconds(downMs)}, ${outage?.attempts ?? 0} failed mints, ${outage?.logins ?? 0} logins meanwhile`,
    `readiness          ready at ${readyLooks} of ${looks} checks`,
  ];
  return { facts, complaints };
}

export function summarise({ complaints, facts }: Verdict): string[] {
  const result =
    complaints.length === 0
      ? ['The pgpass reader noticed nothing. The read-once reader would need a restart every hour.']
      : ['It did not hold:', ...complaints.map((complaint) => `  ${complaint}`)];
  return [...facts, '', ...result];
}

/** Command lines that work as they are. */
export function howToLook({ connection, sidecar }: Props, { certificate, pgpass }: Stage): string[] {
  const { host, port, user } = connection;
  const { url } = sidecar;
  const target = `host=${host} port=${port} user=${user} dbname=${DATABASE}`;
  return [
    'Everything runs until Ctrl-C. Have a look:',
    '',
    `PGPASSFILE=${pgpass} psql "${target} sslmode=verify-full sslrootcert=${certificate}"`,
    `curl '${url}/status'`,
    `curl '${url}/readyz?verbose'`,
    `curl -s '${url}/metrics' | grep ^lakebase_credential_`,
    `ls -l ${pgpass}`,
  ];
}

function count({ logins, refusals }: Reader): string {
  return `${logins} logins, ${refusals} failed logins`;
}
