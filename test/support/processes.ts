import { spawnSync } from 'node:child_process';

/** The command lines of all that name this directory, in their environment too: that is where a CLI has it. */
export function processesOf(directory: string): string[] {
  const { stdout } = spawnSync('ps', ['axeww', '-o', 'args='], { encoding: 'utf8' });
  const lines = stdout.split('\n').filter((line) => line.includes(directory));
  return lines.map((line) => line.replace(/ \w+=.*/, '')); // an environment is nobody else's business
}
