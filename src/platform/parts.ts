import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';

type Require = (name: string) => unknown;
type Part = (exports: object, require: Require, module: { exports: unknown }) => void;

/**
 * The parts of the bundle, loaded as CommonJS modules with the bytecode that lies beside them: most of a start would
 * otherwise be spent on compiling. Node's own compile cache is of no use here, it wants a folder that belongs to the
 * user. Bytecode of another Node.js, or with other flags of V8, is rejected by V8 itself, and the source compiled then.
 */
export class Parts {
  readonly #directory: string;
  readonly #requireBuiltin: Require;
  readonly #modules = new Map<string, { exports: unknown }>();
  readonly #scripts = new Map<string, Script>();

  constructor(directory: string, requireBuiltin: Require) {
    this.#directory = directory;
    this.#requireBuiltin = requireBuiltin;
  }

  readonly require: Require = (name) => {
    if (!name.startsWith('./')) return this.#requireBuiltin(name);
    const known = this.#modules.get(name);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    this.#modules.set(name, module);
    const run = this.#load(name).runInThisContext() as Part;
    run(module.exports, this.require, module);
    return module.exports;
  };

  /** Leaves the bytecode of everything that has run so far beside the parts. */
  writeBytecode(): void {
    for (const [name, script] of this.#scripts) {
      writeFileSync(bytecodeOf(join(this.#directory, name)), script.createCachedData());
    }
  }

  #load(name: string): Script {
    const filename = join(this.#directory, name);
    // The build writes nothing but ASCII, which V8 keeps in half the memory if it is told so.
    const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: readBytecode(filename) });
    this.#scripts.set(name, script);
    return script;
  }
}

function readBytecode(filename: string): Buffer | undefined {
  try {
    return readFileSync(bytecodeOf(filename));
  } catch {
    return undefined; // a start without it is only slower
  }
}

function bytecodeOf(filename: string): string {
  return `${filename}.bytecode`;
}
