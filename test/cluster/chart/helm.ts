import { join } from 'node:path';
import { execa } from 'execa';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { buildHelm, type Programs } from '../programs.ts';

export const CHART = join(import.meta.dirname, '../../../charts/lakebase-credential-sidecar');
export const HELMS = ['helm4', 'helm3'] as const;
export type Helm = (typeof HELMS)[number];

/** Commands that take values. */
const TAKE_VALUES = new Set(['lint', 'template', 'install', 'upgrade']);

/** Real Helm, with a home of its own. */
export class HelmClient {
  /** What Helm is to be told besides its arguments. */
  readonly env: Readonly<Record<string, string>>;
  readonly programs: Programs;

  private constructor(programs: Programs, env: Readonly<Record<string, string>>) {
    this.programs = programs;
    this.env = env;
  }

  static async of(t: Cleanup, kubeconfig: string): Promise<HelmClient> {
    const programs = await buildHelm((line) => console.error(line));
    const home = await temporaryDirectory(t);
    return new HelmClient(programs, { KUBECONFIG: kubeconfig, HELM_CACHE_HOME: home, HOME: home });
  }

  /** Helm reads values from JSON as well. */
  async run(version: Helm, args: readonly string[], values: object = {}): Promise<string> {
    const flags = TAKE_VALUES.has(args[0]!) ? ['--values', '-'] : [];
    const { stdout } = await execa(this.programs[version]!, [...args, ...flags], {
      input: JSON.stringify(values),
      env: this.env,
    });
    return stdout;
  }

  /** The chart's manifests, for a cluster that can have all of them. */
  async template(version: Helm, values: object, flags: readonly string[] = []): Promise<string> {
    return await this.run(version, ['template', 'x', CHART, '--kube-version', '1.36.1', ...flags], values);
  }
}
