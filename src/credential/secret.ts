const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

/**
 * Text that must not be printed. However it is logged, concatenated, inspected or serialised, it shows `[secret]`;
 * `reveal()` is the only way to the text, so that a search for it lists every place that handles a token.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspectSymbol](): string {
    return '[secret]';
  }
}
