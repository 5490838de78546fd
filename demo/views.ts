import { styleText } from 'node:util';
import type { WriteStream } from 'node:tty';
import type { Cancellable, Clock } from '../src/credential/ports.ts';
import { drawFrame, type Line, stamp, widthOf } from './frame.ts';
import type { Happening, Scene } from './scene.ts';

const FRAME_MS = 100;
const HIDE_CURSOR = '\u001B[?25l';
const SHOW_CURSOR = '\u001B[?25h';
const ERASE_LINE = '\u001B[K';
const ERASE_BELOW = '\u001B[J';

export interface View {
  tell(happening: Happening): void;
  /** Shows what changes until the signal. */
  run(scene: Scene, options: Cancellable): Promise<void>;
  /** Below what is there already. */
  print(lines: readonly string[]): void;
}

/** One line for each thing that happens. */
export class PlainView implements View {
  readonly #stdout: NodeJS.WritableStream;

  constructor(stdout: NodeJS.WritableStream) {
    this.#stdout = stdout;
  }

  tell({ atMs, text }: Happening): void {
    this.print([stamp(atMs) + text]);
  }

  async run(): Promise<void> {}

  print(lines: readonly string[]): void {
    this.#stdout.write(`${lines.join('\n')}\n`);
  }
}

/** A picture that is drawn again in place. */
export class LiveView implements View {
  readonly #stdout: WriteStream;
  readonly #clock: Clock;
  /** Widths of the lines of the last picture. */
  #drawn: readonly number[] = [];
  #scene: Scene | undefined;

  constructor(stdout: WriteStream, clock: Clock) {
    this.#stdout = stdout;
    this.#clock = clock;
  }

  tell(): void {}

  async run(scene: Scene, { signal }: Cancellable): Promise<void> {
    this.#scene = scene;
    process.once('exit', this.#showCursor);
    this.#stdout.write(HIDE_CURSOR);
    try {
      for (;;) {
        this.#draw(scene);
        await this.#clock.sleep(FRAME_MS, { signal });
      }
    } finally {
      this.#draw(scene);
      this.#drawn = [];
      this.#scene = undefined;
      this.#showCursor();
      process.off('exit', this.#showCursor);
    }
  }

  print(lines: readonly string[]): void {
    if (this.#scene !== undefined) this.#draw(this.#scene);
    this.#drawn = [];
    this.#stdout.write(`${lines.join('\n')}\n`);
  }

  readonly #showCursor = (): void => {
    this.#stdout.write(SHOW_CURSOR);
  };

  #draw(scene: Scene): void {
    const { columns, rows } = this.#stdout;
    // One column and one row stay free: a terminal that wraps or scrolls would move what is above.
    const lines = drawFrame(scene, columns - 1, rows - 1);
    const rendered = lines.map((line) => `${this.#paint(line)}${ERASE_LINE}\n`).join('');
    this.#stdout.write(`${this.#backToTop(columns)}${rendered}${ERASE_BELOW}`);
    this.#drawn = lines.map((line) => widthOf(line));
  }

  /** In a window that became narrower, the terminal has wrapped the lines of the last picture. */
  #backToTop(columns: number): string {
    const height = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0);
    return height === 0 ? '\r' : `\r\u001B[${height}A`;
  }

  #paint(line: Line): string {
    return line
      .map(([text, format]) => (format === undefined ? text : styleText(format, text, { stream: this.#stdout })))
      .join('');
  }
}
