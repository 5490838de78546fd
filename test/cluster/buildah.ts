import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { ClusterError } from './failure.ts';
import { imageStoreDirectory } from './layout.ts';
import { unmountBelow } from './leftovers.ts';
import { findProgram } from './requirements.ts';

export const NO_BUILDAH = 'buildah is missing: run "apt-get install --yes --no-install-recommends buildah"';

/** Its usual limits are higher than what root may set in a container. */
const CONTAINERS_CONF = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
`;
const POLICY = { default: [{ type: 'insecureAcceptAnything' }] };

/** Builds images with settings and a store of its own, so that those of the user stay as they are. */
export class Buildah {
  readonly #program: string;
  readonly #directory: string;

  /** @param directory for temporary files; whoever gave it removes it. */
  private constructor(program: string, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  static async prepare(directory: string): Promise<Buildah> {
    const program = await findProgram('buildah');
    if (program === undefined) throw new ClusterError(NO_BUILDAH);
    await writeFile(join(directory, 'containers.conf'), CONTAINERS_CONF);
    await writeFile(join(directory, 'policy.json'), JSON.stringify(POLICY));
    const buildah = new Buildah(program, directory);
    await buildah.clean();
    return buildah;
  }

  async build(args: readonly string[]): Promise<void> {
    await this.run('build', ['--isolation=chroot', '--network=host', '--layers', '--force-rm', ...args]);
  }

  async run(command: string, args: readonly string[]): Promise<void> {
    const store = [
      `--root=${imageStoreDirectory}`,
      `--runroot=${join(this.#directory, 'run')}`,
      '--storage-opt=overlay.skip_mount_home=true', // or a mount would stay
    ];
    const policy = command === 'rm' ? [] : [`--signature-policy=${join(this.#directory, 'policy.json')}`];
    await execa(this.#program, [...store, command, ...policy, ...args], {
      env: { CONTAINERS_CONF: join(this.#directory, 'containers.conf') },
      stdin: 'ignore',
      stdout: process.stderr,
      stderr: process.stderr,
    });
  }

  /** Ends what a build that was killed has left: containers, and mounts of their file systems. */
  async clean(): Promise<void> {
    await unmountBelow([imageStoreDirectory]);
    await this.run('rm', ['--all']);
  }
}
