import { say } from './table.ts';

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One line of the README's table of figures. */
export interface Quote {
  readonly what: string;
  readonly figure: string;
}

/** What a part of the bench has found: printed as it comes, and kept for the page of figures. */
export class Report {
  readonly tables: Table[] = [];
  readonly notes: string[] = [];
  readonly quotes: Quote[] = [];
  /** Why there are fewer figures than there should be. */
  readonly skipped: string[] = [];
  /** What it is measured with, beyond what every part is. */
  readonly versions: string[] = [];
  /** Path of the SVG that goes with it. */
  drawing: string | undefined;

  /** The first column is left-aligned, the others are figures. */
  table(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
    this.tables.push({ title, header, rows });
    const all = [header, ...rows];
    const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
    const print = (row: readonly string[]): void =>
      say(
        `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')}`,
      );
    say(`\n${title}`);
    for (const row of all) print(row);
  }

  note(text: string): void {
    this.notes.push(text);
    say(`\n${text}`);
  }

  quote(what: string, figure: string): void {
    this.quotes.push({ what, figure });
  }

  uses(nameAndVersion: string): void {
    this.versions.push(nameAndVersion);
  }

  picture(path: string): void {
    this.drawing = path;
  }

  skip(what: string, why: string): void {
    this.skipped.push(`${what}: ${why}`);
    say(`\n${what}: skipped, because ${why}`);
  }
}
