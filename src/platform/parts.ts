import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { Script } from 'node:vm';

/** At least the longest file, so that one buffer does for all. */
const BUFFER_BYTES = 640 * 1024;

interface Require {
  (name: string): unknown;
  /** A module of Node.js as `import name from` and `import { one } from` see it. */
  default: (name: string) => object;
}
type Part = (exports: object, require: Require, module: { exports: unknown }) => void;
/** What a file holds: one part by its name, or several that are always loaded together. */
type Parcel = Readonly<Record<string, Part>>;

/**
 * The parts of the bundle, loaded as CommonJS modules with the bytecode that lies beside them: most of a start would
 * otherwise be spent on compiling. Node's own compile cache is of no use here, it wants a folder that belongs to the
 * user. Bytecode of another Node.js, or with other flags of V8, is rejected by V8 itself, and the source compiled then.
 */
export class Parts {
  readonly #directory: string;
  readonly #modules = new Map<string, { exports: unknown }>();
  readonly #parts = new Map<string, Part>();
  readonly #scripts = new Map<string, Script>();
  /** For one file after the other. Weak, so that its memory is free between two loads. */
  #buffer: WeakRef<Buffer> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  readonly require: Require = Object.assign((name: string) => this.#require(name), {
    default(name: string): object {
      const builtin = process.getBuiltinModule(name) as object;
      return Object.create(builtin, { default: { value: builtin } });
    },
  });

  /** Leaves the bytecode of everything that has run so far beside the parts. */
  writeBytecode(): void {
    for (const [name, script] of this.#scripts) {
      writeFileSync(bytecodeOf(this.#fileOf(name)), script.createCachedData());
    }
  }

  #require(name: string): unknown {
    const known = this.#modules.get(name);
    if (known !== undefined) return known.exports;
    // `require` would look for hooks, caches and paths first, each time.
    if (!name.startsWith('./')) return process.getBuiltinModule(name);
    const part = this.#find(name);
    const module = { exports: {} };
    this.#modules.set(name, module);
    try {
      part(module.exports, this.require, module);
    } catch (error) {
      // Half of it is no module: where files run out for a moment, the next try may go well.
      this.#modules.delete(name);
      this.#parts.set(name, part);
      throw error;
    }
    return module.exports;
  }

  #find(name: string): Part {
    if (!this.#parts.has(name)) {
      const parcel = this.#load(name).runInThisContext() as Parcel;
      for (const [one, part] of Object.entries(parcel)) this.#parts.set(one, part);
    }
    const found = this.#parts.get(name)!;
    this.#parts.delete(name); // it is run once, unless it fails
    return found;
  }

  #load(name: string): Script {
    const filename = this.#fileOf(name);
    // The build writes nothing but ASCII, which V8 keeps in half the memory if it is told so.
    const source = this.#read(filename).toString('latin1');
    const script = new Script(source, { filename, cachedData: this.#readBytecode(filename) });
    this.#scripts.set(name, script);
    return script;
  }

  #fileOf(name: string): string {
    return `${this.#directory}/${name.slice('./'.length)}`;
  }

  #readBytecode(filename: string): Buffer | undefined {
    try {
      return this.#read(bytecodeOf(filename)); // V8 is done with it when it has made the script
    } catch {
      return undefined; // a start without it is only slower
    }
  }

  /** What it returns is good until the next call: memory that is new to the process costs more than the reading. */
  #read(filename: string): Buffer {
    const file = openSync(filename, 'r');
    try {
      const { size } = fstatSync(file);
      let buffer = this.#buffer?.deref();
      if (buffer === undefined || buffer.length < size) {
        buffer = Buffer.allocUnsafeSlow(Math.max(size, BUFFER_BYTES));
        this.#buffer = new WeakRef(buffer);
      }
      return buffer.subarray(0, readSync(file, buffer, 0, size, 0));
    } finally {
      closeSync(file);
    }
  }
}

function bytecodeOf(filename: string): string {
  return `${filename}.bytecode`;
}
