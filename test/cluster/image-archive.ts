import { execa } from 'execa';

export interface Layer {
  readonly bytes: number;
  /** The instruction that made it. */
  readonly instruction: string;
}

interface Config {
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

/** The layers of an image in an archive as `docker save` writes it, uncompressed. */
export async function readLayers(archive: string): Promise<Layer[]> {
  const [manifest] = JSON.parse(await member(archive, 'manifest.json')) as [{ Config: string; Layers: string[] }];
  const { history } = JSON.parse(await member(archive, manifest.Config)) as Config;
  const { stdout } = await execa('tar', ['--list', '--verbose', '--numeric-owner', '--file', archive]);
  const bytes = new Map(stdout.split('\n').map((line) => sizeAndName(line)));
  const made = history.filter((entry) => entry.empty_layer !== true);
  return manifest.Layers.map((layer, index) => ({
    bytes: bytes.get(layer) ?? Number.NaN,
    instruction: made[index]?.created_by ?? 'unknown',
  }));
}

/** `-r--r--r-- 0/0 1234 1970-01-01 00:00 name` */
function sizeAndName(line: string): [name: string, bytes: number] {
  const [, , size, , , name = ''] = line.split(/\s+/);
  return [name, Number(size)];
}

async function member(archive: string, name: string): Promise<string> {
  const { stdout } = await execa('tar', ['--extract', '--to-stdout', '--file', archive, name]);
  return stdout;
}
