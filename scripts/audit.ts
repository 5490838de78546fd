import { spawnSync } from 'node:child_process';

interface Report {
  readonly message?: string;
  readonly metadata?: { readonly vulnerabilities: Readonly<Record<string, number>> };
}

/**
 * `npm audit`, told apart from a registry that knows no advisories or cannot be reached: that must not look like an advisory,
 * nor like none. Exits with 1 where there is one, for whatever is locked: tools of the build could harm as well.
 */
function audit(): number {
  const { stdout } = spawnSync('npm', ['audit', '--json', '--loglevel=silent'], { encoding: 'utf8', timeout: 60_000 });
  const vulnerabilities = parse(stdout)?.metadata?.vulnerabilities;
  if (vulnerabilities === undefined) {
    console.log('not audited: the registry of npm gives no advisories here');
    return 0;
  }
  const { total = Number.NaN } = vulnerabilities;
  console.log(total === 0 ? 'no known vulnerabilities' : `${total} known vulnerabilities: "npm audit" tells which`);
  return total === 0 ? 0 : 1;
}

function parse(text: string): Report | undefined {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return undefined; // npm could not be run, or was not done in time
  }
}

process.exitCode = audit();
